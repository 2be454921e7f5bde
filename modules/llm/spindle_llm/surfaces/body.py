"""A chat request of OpenAI's surface: judged by its top level, spliced, never rebuilt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from spindle_llm.members import Members, splice
from spindle_llm.routing.defaults import missing_defaults
from spindle_llm.surfaces.judging import (
    count_of,
    flag_of,
    invalid,
    judged_members,
    judged_value,
    model_of,
    object_of,
    whole_object,
)
from spindle_spi.admission import Estimate
from spindle_spi.errors import InvalidArgument
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CHOICES = 128

_GUARDED = frozenset(
    {"model", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "messages"}
)
"""The keys that are judged here, and that no variant may stand in for."""

_READ = _GUARDED - {"messages"}
"""Those of them whose values are looked at."""

_EMPTY_LIST = re.compile(rb"\[[ \t\r\n]*\]")
_IMAGE = b'"image_url"'
"""An image part says it twice: as its type and as a key."""


@dataclass(slots=True, kw_only=True)
class ChatRequest:
    """A chat request whose top level holds to the rules; everything else is as it came.

    One is made for every call: not frozen, which costs three times as much. Nobody changes it.
    """

    body: bytes
    members: Members
    model: str | None
    stream: bool
    stream_options: JsonObject
    wants_usage: bool
    """The client of a stream asked for the usage chunk."""
    estimate: Estimate

    def encoded(self, model: str, defaults: Mapping[str, Json]) -> bytes:
        """Return the request under the upstream's model name, other bytes untouched."""
        values = {"model": msgspec.json.encode(model)}

        if self.stream:
            values["stream_options"] = msgspec.json.encode(
                {**self.stream_options, "include_usage": True}
            )

        for key, value in missing_defaults(defaults, self.members).items():
            values[key] = msgspec.json.encode(value)

        return splice(self.body, self.members, values)

    def parsed(self) -> JsonObject:
        """Return the whole request as plain data.

        Raises:
            InvalidArgument: It is nested too deeply, or holds numbers nobody can hold.
        """
        return whole_object(self.body)


def parse_chat(body: bytes) -> ChatRequest:
    """Judge the top level of a chat request.

    Raises:
        InvalidArgument: It breaks a rule; says which, and names the parameter.
    """
    members = judged_members(body, _GUARDED)
    judge_messages(body, members)
    values = {key: judged_value(body, members, key) for key in members if key in _READ}
    stream = flag_of(values.get("stream"), "stream")
    options = object_of(values.get("stream_options"), "stream_options")
    return ChatRequest(
        body=body,
        members=members,
        model=model_of(values.get("model")),
        stream=stream,
        stream_options=options,
        wants_usage=stream
        and flag_of(options.get("include_usage"), "stream_options.include_usage"),
        estimate=_estimate(body, values),
    )


def judge_messages(body: bytes, members: Members) -> None:
    """Refuse a request whose `messages` are not there, no list, or empty.

    Raises:
        InvalidArgument: It is such a request.
    """
    span = members.get("messages")

    if span is None:
        raise InvalidArgument(
            "The request has no messages.", code="llm.messages.missing", param="messages"
        )

    if body[span[0] : span[0] + 1] != b"[":
        raise invalid("messages", "must be a list")

    if _EMPTY_LIST.fullmatch(body, *span):
        raise InvalidArgument(
            "messages must not be empty (POL-LLM-003).",
            code="llm.messages.empty",
            param="messages",
        )


def images_in(body: bytes) -> int:
    """Return how many image parts a request may hold."""
    return (body.count(_IMAGE) + 1) // 2


def _estimate(body: bytes, values: Mapping[str, Json]) -> Estimate:
    wanted = count_of(values.get("max_tokens"), "max_tokens")
    longest = count_of(values.get("max_completion_tokens"), "max_completion_tokens")
    choices = count_of(values.get("n"), "n")

    if choices is not None and choices > MAX_CHOICES:
        raise invalid("n", f"must be at most {MAX_CHOICES}")

    return Estimate(
        input_bytes=len(body),
        max_output_tokens=max(wanted or 0, longest or 0) or None,
        choices=choices or 1,
        images=images_in(body),
    )
