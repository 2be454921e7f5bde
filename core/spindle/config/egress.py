"""The section `egress`: which addresses the gateway may be sent to."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from spindle.config.sections import Section, Text, check_host


class EgressSettings(Section):
    """`egress`: exceptions of the guard over addresses that callers give."""

    allowed_hosts: tuple[Annotated[Text, AfterValidator(check_host)], ...] = ()
    """Hosts, as URLs spell them, that may be private or this machine itself."""
