"""Where the headers come from that prove a gateway to its upstream."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from spindle_spi.errors import FailedPrecondition, Origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_mcp.upstream.credentials.challenge import Refusal
    from spindle_spi.config_secrets import ConfigSecretsService
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.secret import SecretRef

_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")


class HeaderSource(ABC):
    """Asked before every request to an upstream, from any task."""

    is_personal = False
    """Whether it depends on who calls: then no session with the upstream is shared."""

    @abstractmethod
    async def headers(self, caller: AuthenticatedContext | None) -> Mapping[str, str]:
        """Return what to send for a caller; None is the gateway itself, which reads lists.

        Raises:
            GatewayError: There is nothing to send; says what to do about it, never a secret.
        """

    async def refused(
        self, caller: AuthenticatedContext | None, sent: Mapping[str, str], refusal: Refusal
    ) -> bool:
        """Take the news that what was sent did not do; True when asking once more may help.

        Raises:
            GatewayError: Somebody has to do something first; says what.
        """
        del caller, sent, refusal
        return False

    async def mends(
        self,
        caller: AuthenticatedContext | None,
        sent: Mapping[str, str],
        refusal: Refusal,
        *,
        is_last: bool,
    ) -> bool:
        """Tell whether to ask once more; a lack of scope is met each time, for who can mend it.

        Raises:
            GatewayError: Somebody has to do something first; says what.
        """
        if not refusal.may_be_mended or (is_last and not refusal.is_about_scope):
            return False

        return await self.refused(caller, sent, refusal) and not is_last


class StaticHeaders(HeaderSource):
    """The headers of a record; a changed secret is used within a minute."""

    def __init__(
        self, gateway: str, refs: Mapping[str, SecretRef], secrets: ConfigSecretsService
    ) -> None:
        self._gateway = gateway
        self._refs = refs
        self._secrets = secrets
        self._known: dict[str, str] = {}
        self._known_until = 0.0

    async def headers(self, caller: AuthenticatedContext | None) -> Mapping[str, str]:
        """See `HeaderSource`: the same for every caller."""
        del caller

        if self._refs and time.time() >= self._known_until:
            await self._read()

        return self._known

    async def _read(self) -> None:
        found: dict[str, str] = {}
        until = float("inf")

        for name, ref in self._refs.items():
            lease = await self._secrets.lease(ref)
            value = lease.secret.reveal()
            until = min(until, lease.expires_at)

            if not _VALUE.fullmatch(value):
                raise FailedPrecondition(
                    f"The secret of the header {name!r} of the gateway {self._gateway!r} is no "
                    "header value: it has line breaks, spaces at an end, or is not ASCII.",
                    code="mcp.gateway.header_value",
                    origin=Origin.MODULE,
                )

            found[name.lower()] = value

        self._known, self._known_until = found, until
