"""The one redaction filter: masks secrets in any text or JSON structure on its way to a log.

Known values are registered where they are read; forms of secrets are masked even when unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_spi.secret import Secret
    from spindle_spi.types import Json

MASK = "***"
_MIN_LASTING, _MIN_PASSING = 4, 8
"""Shorter values are not registered: masking them would blank ordinary words."""
_MAX_LASTING, _MAX_PASSING = 2000, 256
"""Values kept of each sort; beyond it the oldest is forgotten."""
_MAX_DEPTH = 32

_FORMS = re.compile(
    # The look at the first letter makes it three times as fast.
    r"\b(?=[abeghsx])(?:"
    r"(?P<scheme>bearer\s+|authorization\W{1,6}basic\s+)[\w.~+/=-]{8,}"
    r"|(?:sp[nsi]_|sk-|ghp_|gho_|github_pat_|glpat-|xox[abprs]-|hf_|AIza)[\w-]{8,}"
    # With or without the parts behind it: a look for the dot takes ages in a text of many starts.
    r"|(?-i:eyJ)[\w-]{8,}(?:\.[\w-]+){0,4}"
    r")"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END|\Z)"
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)",
    re.IGNORECASE | re.DOTALL,
)
"""Bearer and basic credentials, tokens, sessions and invitations of ours, keys by their prefixes,
JSON Web Tokens, private keys, a user and password in a URL."""

_KEYS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "api-key",
        "api_key",
        "apikey",
        "password",
        "secret",
        "client_secret",
        "private_key",
        "access_token",
        "refresh_token",
        "id_token",
        "passphrase",
        "proxy_authorization",
        "x-goog-api-key",
        "signing_key",
        "cookie",
        "set-cookie",
    }
)


class Redactor:
    """Knows secret values and the forms of secrets."""

    def __init__(self) -> None:
        self._lasting: dict[str, None] = {}
        self._passing: dict[str, None] = {}
        self._values: tuple[str, ...] = ()

    def register(self, secret: Secret, *, passing: bool = False) -> None:
        """Mask this value from now on, also where it stands JSON-escaped or URL-quoted.

        A passing one, given by a caller for a while, may be forgotten when many others came.
        """
        value = secret.reveal()

        least = _MIN_PASSING if passing else _MIN_LASTING

        if len(value) < least or value in self._lasting:
            return

        values, most = (self._passing, _MAX_PASSING) if passing else (self._lasting, _MAX_LASTING)

        for form in (value, json.dumps(value)[1:-1], quote(value, safe="", errors="replace")):
            values[form] = None

        while len(values) > most:
            del values[next(iter(values))]

        # The longest first: a value that contains another one is masked whole.
        self._values = tuple(sorted({*self._lasting, *self._passing}, key=len, reverse=True))

    def text(self, text: str) -> str:
        """Return the text with every secret in it masked."""
        # Looking for each value is faster than one pattern of all of them.
        for value in self._values:
            if value in text:
                text = text.replace(value, MASK)

        return _FORMS.sub(_mask, text)

    def data(self, value: object) -> Json:
        """Return a JSON copy of any structure with every secret in it masked."""
        return self._masked(value, _MAX_DEPTH)

    def _masked(self, value: object, depth: int) -> Json:
        if isinstance(value, str):
            return self.text(value)

        if value is None or isinstance(value, bool | int | float):
            return value

        if isinstance(value, bytes):
            return self.text(value.decode("utf-8", "replace"))

        if depth == 0:
            return "…"

        if _is_mapping(value):
            return self._masked_mapping(value, depth - 1)

        if _is_sequence(value):
            return [self._masked(entry, depth - 1) for entry in value]

        return self.text(str(value))

    def _masked_mapping(self, value: Mapping[object, object], depth: int) -> Json:
        return {
            self.text(str(key)): (
                MASK if str(key).lower() in _KEYS and entry else self._masked(entry, depth)
            )
            for key, entry in value.items()
        }


def _is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, Mapping)


def _is_sequence(value: object) -> TypeGuard[Iterable[object]]:
    return isinstance(value, list | tuple | set | frozenset)


def _mask(found: re.Match[str]) -> str:
    return f"{found['scheme'] or ''}{MASK}"


REDACTOR = Redactor()
"""The filter of this process; whatever reads a secret registers it here."""
