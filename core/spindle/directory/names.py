"""Names as the directory keeps them, and the errors of names that are not there."""

from __future__ import annotations

import re
from typing import Final

from spindle_spi.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound, shortened

_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f\x7f/]{1,64}@[^@\s\x00-\x1f\x7f/]{1,189}")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,61}[A-Za-z0-9])?")
_MAX_TEXT = 200

SERVICE_DOMAIN: Final = "service.spindle"
"""Domain of the addresses of service accounts: nobody receives mail there."""


def email_of(text: str) -> str:
    """Return an e-mail as the key of a user: in lower case.

    Raises:
        InvalidArgument: It is none.
    """
    if not _EMAIL.fullmatch(text):
        raise InvalidArgument(f"email: {shortened(text)!r} is no e-mail address.")

    return text.lower()


def name_of(what: str, text: str) -> str:
    """Return the name of a team, a role or a service account.

    Raises:
        InvalidArgument: It is empty, too long or has other characters.
    """
    if not _NAME.fullmatch(text):
        raise InvalidArgument(
            f"{what}: {shortened(text)!r} is no name: letters, digits, space, '.', '_' and '-', "
            "63 at most."
        )

    return text


def text_of(what: str, text: str) -> str:
    """Return a text for people.

    Raises:
        InvalidArgument: It is too long.
    """
    if len(text) > _MAX_TEXT:
        raise InvalidArgument(f"{what}: {_MAX_TEXT} characters at most.")

    return text


def missing(what: str, name: str) -> NotFound:
    """Return the error for what is absent or hidden: the answer is the same."""
    return NotFound(
        f"The {what} {shortened(name)!r} does not exist.", code=f"core.{what}.not_found"
    )


def taken(what: str, name: str) -> Conflict:
    """Return the error for a name somebody has."""
    return Conflict(f"The {what} {name!r} is there already.", code=f"core.{what}.taken")


def overtaken(what: str, name: str) -> FailedPrecondition:
    """Return the error for a change of what somebody else changed in the meantime."""
    return FailedPrecondition(
        f"The {what} {name!r} was changed by somebody else meanwhile: "
        "read it again, then repeat the change.",
        code="core.record.changed",
        http_status=412,
    )
