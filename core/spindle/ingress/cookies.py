"""The cookie of a login session as a credential, and the guard that goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_spi.errors import PermissionDenied

if TYPE_CHECKING:
    from spindle.ingress.requests import Headers, Perimeter

CSRF_HEADER: Final = b"x-spindle-csrf"

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MARK = "sps_"


def cookie_of(headers: Headers, name: str) -> str | None:
    """Return the value of a cookie; of several with one name the first."""
    for pair in headers.get(b"cookie", b"").decode("latin-1").split(";"):
        key, equals, value = pair.strip().partition("=")

        if equals and key == name:
            return value

    return None


def session_of(headers: Headers, name: str, method: str, perimeter: Perimeter) -> str | None:
    """Return the credential in the cookie of a login session.

    Raises:
        PermissionDenied: The request changes something, and nothing shows that a page of ours
            made it.
    """
    value = cookie_of(headers, name)

    # An API token in a cookie would be one that browsers send along by themselves.
    if value is None or not value.startswith(_MARK):
        return None

    if method not in _SAFE and not headers.get(CSRF_HEADER) and not perimeter.is_own(headers):
        raise PermissionDenied(
            "A request with a cookie that changes something needs the header X-Spindle-CSRF, "
            "or the Origin of this server.",
            code="core.csrf",
        )

    return value
