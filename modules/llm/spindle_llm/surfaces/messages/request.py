"""A request for a message: judged by its top level, spliced, never rebuilt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from spindle_llm.members import splice
from spindle_llm.routing.defaults import missing_defaults
from spindle_llm.surfaces.judging import (
    count_of,
    flag_of,
    invalid,
    judged_members,
    judged_value,
    model_of,
    whole_object,
)
from spindle_llm.surfaces.messages.translation import translated
from spindle_spi.admission import Estimate
from spindle_spi.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_llm.members import Members
    from spindle_spi.types import Json, JsonObject, Scope

_GUARDED: Final = frozenset({"model", "stream", "max_tokens", "messages"})
_EMPTY_LIST: Final = re.compile(rb"\[[ \t\r\n]*\]")
_IMAGE: Final = b'"image"'
_SAME: Final = {"max_completion_tokens": "max_tokens"}
_ALIKE: Final = frozenset({"temperature", "top_p", "top_k", "max_tokens"})
"""Parameters of the lingua franca that mean the same here."""
_UNTHINKING: Final = frozenset({"temperature", "top_p", "top_k"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """What a client's headers ask of Anthropic itself."""

    version: str | None = None
    """Of the API."""
    betas: tuple[str, ...] = ()
    """What is not yet released."""


class MessageRequest:
    """A request whose top level holds to the rules; everything else is as it came."""

    __slots__ = ("_translated", "body", "edition", "estimate", "lost", "members", "model", "stream")

    def __init__(
        self, body: bytes, *, edition: Edition = Edition(), counting: bool = False
    ) -> None:
        """Judge a body; `counting`: nothing is to be answered, only counted.

        Raises:
            InvalidArgument: It breaks a rule; says which, and names the parameter.
        """
        self.body = body
        self.edition = edition
        self.members: Members = judged_members(body, _GUARDED)
        self.model = model_of(judged_value(body, self.members, "model"))
        self.stream = not counting and flag_of(judged_value(body, self.members, "stream"), "stream")
        limit = count_of(judged_value(body, self.members, "max_tokens"), "max_tokens")
        self._judge_messages()
        self.estimate = Estimate(
            input_bytes=len(body),
            max_output_tokens=1 if counting else limit,
            images=body.count(_IMAGE),
        )
        self.lost: tuple[str, ...] = ()
        """What the lingua franca has no word for, once the request was translated."""
        self._translated: JsonObject | None = None

    def parsed(self) -> JsonObject:
        """Return the whole request in the lingua franca.

        Raises:
            InvalidArgument: It cannot be understood.
            Unsupported: It asks for what only Anthropic's own servers do.
        """
        if self._translated is None:
            self._translated, self.lost = translated(whole_object(self.body), self.edition.betas)

        return self._translated

    def takes(self, defaults: Mapping[str, Json]) -> bool:
        """Tell whether the defaults that are missing here can be set without a translation."""
        return _ALIKE.issuperset(self._missing(defaults))

    def encoded(self, model: str, defaults: Mapping[str, Json]) -> bytes:
        """Return the request under the upstream's model name, other bytes untouched."""
        values = {"model": msgspec.json.encode(model)}

        for key, value in self._missing(defaults).items():
            values[key] = msgspec.json.encode(value)

        return splice(self.body, self.members, values)

    def _missing(self, defaults: Mapping[str, Json]) -> Mapping[str, Json]:
        missing = missing_defaults(defaults, self.members)

        if "thinking" in self.members:
            # A model that thinks takes no temperature but its own.
            missing = {name: missing[name] for name in missing if name not in _UNTHINKING}

        return {_SAME.get(name, name): value for name, value in missing.items()}

    def _judge_messages(self) -> None:
        span = self.members.get("messages")

        if span is None:
            raise InvalidArgument(
                "The request has no messages.", code="llm.messages.missing", param="messages"
            )

        raw = self.body[span[0] : span[1]]

        if raw[:1] != b"[":
            raise invalid("messages", "must be a list")

        if _EMPTY_LIST.fullmatch(raw):
            raise InvalidArgument(
                "messages must not be empty (POL-LLM-003).",
                code="llm.messages.empty",
                param="messages",
            )


def edition_of(scope: Scope) -> Edition:
    """Return what the headers of a request ask of Anthropic."""
    version: str | None = None
    betas: list[str] = []

    for name, value in scope["headers"]:
        if name == b"anthropic-version":
            version = value.decode("latin-1")
        elif name == b"anthropic-beta":
            betas += (beta.strip() for beta in value.decode("latin-1").split(","))

    return Edition(version=version, betas=tuple(beta for beta in betas if beta))
