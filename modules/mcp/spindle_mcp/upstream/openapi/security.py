"""Which of a document's security schemes an operation's credential goes by, and how it is sent."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from spindle_mcp.upstream.openapi.faults import LeftOut
from spindle_mcp.upstream.openapi.references import Unresolvable

if TYPE_CHECKING:
    from spindle_mcp.upstream.openapi.references import References
    from spindle_spi.secret import Secret
    from spindle_spi.types import Json, JsonObject

Place = Literal["header", "query", "cookie"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """One way to show who we are."""

    place: Place
    name: str
    """Of the header, query parameter or cookie."""
    prefix: Literal["", "Bearer ", "Basic "] = ""

    def value(self, credential: Secret) -> str:
        """Return what is sent.

        Raises:
            UnfitCredential: It cannot stand there.
        """
        text = credential.reveal()

        if not text.isprintable():
            raise UnfitCredential

        if self.prefix == "Basic ":
            pair = text if ":" in text else f"{text}:"
            text = base64.b64encode(pair.encode()).decode()
        elif self.place != "header":
            text = quote(text, safe="")

        return f"{self.prefix}{text}"


BEARER = Scheme(place="header", name="Authorization", prefix="Bearer ")


class UnfitCredential(Exception):
    """The credential cannot stand where the scheme puts it. Says nothing of it."""


class Security:
    """What a document says of credentials."""

    def __init__(self, document: JsonObject, references: References, chosen: str | None) -> None:
        self._schemes = _schemes(document, references)
        self._general = document.get("security")
        self._chosen = chosen
        self.is_known = chosen is None or self._schemes.get(chosen) is not None
        """Whether the scheme that was chosen is there, and of a kind that is spoken."""

    def hidden(self) -> frozenset[tuple[str, str]]:
        """Return the parameters that are credentials, so no caller's: place and name."""
        return frozenset(
            (scheme.place, scheme.name.lower()) for scheme in self._schemes.values() if scheme
        )

    def scheme_for(self, operation: JsonObject) -> Scheme | None:
        """Return how the gateway's credential is sent with an operation; None: it is not.

        Raises:
            LeftOut: The operation asks for what one credential cannot give.
        """
        said = operation.get("security", self._general)

        if said is None:
            # Nothing is said, and somebody gave us a credential for this API.
            return self._fallback()

        options = said if isinstance(said, list) else []

        if not options:
            return None

        single = [next(iter(each)) for each in options if isinstance(each, dict) and len(each) == 1]
        wanted = single if self._chosen is None else [n for n in single if n == self._chosen]

        for name in wanted:
            scheme = self._schemes.get(name)

            if scheme is not None:
                return scheme

        if any(each == {} for each in options):
            return None

        raise LeftOut("it asks for a kind of credential that is not supported")

    def _fallback(self) -> Scheme:
        if self._chosen is not None:
            return self._schemes.get(self._chosen) or BEARER

        return next((scheme for scheme in self._schemes.values() if scheme), BEARER)


def _schemes(document: JsonObject, references: References) -> dict[str, Scheme | None]:
    components = document.get("components")
    declared = components.get("securitySchemes") if isinstance(components, dict) else None
    found: dict[str, Scheme | None] = {}

    for name, each in declared.items() if isinstance(declared, dict) else ():
        try:
            found[name] = _scheme(references.followed(each))
        except Unresolvable:
            found[name] = None

    return found


def _scheme(said: JsonObject) -> Scheme | None:
    kind, name = said.get("type"), said.get("name")

    if kind == "apiKey" and isinstance(name, str):
        place = _place(said.get("in"))
        return None if place is None or not _is_token(name) else Scheme(place=place, name=name)

    if kind == "http":
        word = str(said.get("scheme", "")).lower()
        basic = Scheme(place="header", name="Authorization", prefix="Basic ")
        return {"bearer": BEARER, "basic": basic}.get(word)

    # Somebody fetched the token elsewhere and gave it to us.
    return BEARER if kind in ("oauth2", "openIdConnect") else None


def _place(value: Json) -> Place | None:
    match value:
        case "header" | "query" | "cookie":
            return value
        case _:
            return None


def _is_token(name: str) -> bool:
    return name.isascii() and name.isprintable() and not set(name) & set(' "(),/:;<=>?@[\\]{}')
