"""What a refusal says about the way in: `WWW-Authenticate: Bearer …` (RFC 6750, RFC 9728)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_spi.types import Json

UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
_MAX_CHALLENGE: Final = 8192
_MAX_URL: Final = 2000
_MAX_SCOPES: Final = 100
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PART = re.compile(rf'({_TOKEN})(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?')
"""A scheme or one of its parameters, quoted or not."""
_ESCAPED = re.compile(r"\\(.)")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An upstream's no, as far as it is about who asks."""

    status: int
    metadata: str | None = None
    """Where the upstream's protected-resource metadata are."""
    scopes: tuple[str, ...] = ()
    """What a token needs."""
    error: str = ""

    @property
    def is_about_scope(self) -> bool:
        """Whether the token is known, and may not do this."""
        return self.status == FORBIDDEN and self.error == "insufficient_scope"

    @property
    def may_be_mended(self) -> bool:
        """Whether another token could do better."""
        return self.status == UNAUTHORIZED or self.is_about_scope


def refusal_in(status: int, challenges: Iterable[str]) -> Refusal:
    """Return what an answer's status and challenges say; of several, the first for Bearer."""
    for challenge in challenges:
        said = _bearer(challenge[:_MAX_CHALLENGE])

        if said is not None:
            metadata = said.get("resource_metadata", "")
            return Refusal(
                status=status,
                metadata=metadata if 0 < len(metadata) <= _MAX_URL else None,
                scopes=scopes_in(said.get("scope")),
                error=said.get("error", ""),
            )

    return Refusal(status=status)


def scopes_in(said: Json) -> tuple[str, ...]:
    """Return the scopes of a text or a list, each once; what is none is left out."""
    words: list[Json] = [*said.split()] if isinstance(said, str) else []

    if isinstance(said, list):
        words = said

    found = (word for word in words if isinstance(word, str) and _SCOPE.fullmatch(word))
    return tuple(dict.fromkeys(found))[:_MAX_SCOPES]


def _bearer(challenge: str) -> dict[str, str] | None:
    """Return the parameters of the first Bearer challenge in a header; None where there is none."""
    said: dict[str, str] | None = None

    for part in _PART.finditer(challenge):
        name, quoted, plain = part.groups()

        if quoted is not None or plain is not None:
            if said is not None:
                value = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
                said.setdefault(name.lower(), value)
        elif said is not None:
            break
        elif name.lower() == "bearer":
            said = {}

    return said
