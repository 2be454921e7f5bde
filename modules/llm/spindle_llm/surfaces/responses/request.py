"""A request of the Responses surface: judged by its top level, then said in the lingua franca."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from spindle_llm.surfaces.body import images_in
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
from spindle_llm.surfaces.responses.input_items import messages_of
from spindle_llm.surfaces.responses.tools import chat_choice, chat_tools
from spindle_spi.admission import Estimate
from spindle_spi.errors import InvalidArgument, Unsupported
from spindle_spi.types import Json, JsonObject

_GUARDED = frozenset(
    {
        "model",
        "stream",
        "input",
        "instructions",
        "max_output_tokens",
        "previous_response_id",
        "store",
        "background",
    }
)

_SAME = (
    *("temperature", "top_p", "top_logprobs", "parallel_tool_calls", "user", "safety_identifier"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "service_tier"),
    "moderation",
)
"""Parameters that a chat calls by the same name."""

_REFUSED = ("conversation", "prompt", "context_management")
"""What only the vendor's own store can do."""

_WITHOUT_EFFECT = ("truncation", "max_tool_calls")
"""Parameters that are left out, and named."""

_KEPT_INPUT = 16 * 1024 * 1024
"""Bytes of a conversation that may be gone on from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRequest:
    """A request whose top level holds to the rules."""

    body: bytes
    data: JsonObject
    """All of it, as plain data."""
    model: str | None
    stream: bool
    store: bool
    background: bool
    previous_id: str | None
    estimate: Estimate
    before: Sequence[Json] = field(default_factory=list[Json])
    """The messages of the response it goes on from."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Those of the request; one may say what kind of task it is."""

    @property
    def dropped(self) -> tuple[str, ...]:
        """Parameters that have no effect here."""
        neutral = {"truncation": "disabled"}
        return tuple(
            name
            for name in _WITHOUT_EFFECT
            if self.data.get(name) is not None and self.data[name] != neutral.get(name)
        )

    def messages(self) -> list[Json]:
        """Return what was said so far, without the instructions of this one request.

        Raises:
            InvalidArgument: An item cannot be understood.
            Unsupported: It has no form in a chat.
        """
        said = messages_of(self.data.get("input") or [])
        messages = [*self.before, *said]

        if not messages:
            raise InvalidArgument(
                "input must not be empty (POL-LLM-003).", code="llm.messages.empty", param="input"
            )

        return messages

    def parsed(self) -> JsonObject:
        """Return the request as a chat.

        Raises:
            InvalidArgument: It cannot be understood.
            Unsupported: It asks for what a chat cannot say.
        """
        data = self.data

        for name in _REFUSED:
            if data.get(name) is not None:
                raise Unsupported(
                    f"{name} is not supported by this gateway.",
                    code="llm.parameter.unsupported",
                    param=name,
                )

        chat: JsonObject = {name: data[name] for name in _SAME if data.get(name) is not None}
        chat["messages"] = [*_instructions(data), *self.messages()]
        chat["stream"] = self.stream
        limit = data.get("max_output_tokens")

        if limit is not None:
            chat["max_completion_tokens"] = limit

        chat |= _text_options(object_of(data.get("text"), "text"))
        effort = object_of(data.get("reasoning"), "reasoning").get("effort")

        if effort is not None:
            chat["reasoning_effort"] = effort

        tools = chat_tools(data.get("tools"))

        if tools:
            chat["tools"] = tools

        choice = chat_choice(data.get("tool_choice"))

        if choice is not None and tools:
            chat["tool_choice"] = choice

        if "top_logprobs" in chat or _wants_logprobs(data.get("include")):
            chat["logprobs"] = True

        return chat


def parse_response(body: bytes) -> ResponseRequest:
    """Judge the top level of a request.

    Raises:
        InvalidArgument: It breaks a rule; says which, and names the parameter.
    """
    members = judged_members(body, _GUARDED)
    previous = judged_value(body, members, "previous_response_id")
    limit = count_of(judged_value(body, members, "max_output_tokens"), "max_output_tokens")

    if previous is not None and not isinstance(previous, str):
        raise invalid("previous_response_id", "must be a text")

    data = whole_object(body)

    if data.get("input") is None and previous is None:
        raise InvalidArgument(
            "The request has no input (POL-LLM-003).", code="llm.messages.missing", param="input"
        )

    stream, background = (flag_of(data.get(name), name) for name in ("stream", "background"))
    store = True if data.get("store") is None else flag_of(data["store"], "store")

    if background and not store:
        raise invalid("background", "needs a response that is stored")

    if background and stream:
        raise Unsupported(
            "A response in the background is not streamed by this gateway; ask for it by its id.",
            code="llm.parameter.unsupported",
            param="stream",
        )

    return ResponseRequest(
        body=body,
        data=data,
        model=model_of(data.get("model")),
        stream=stream,
        store=store,
        background=background,
        previous_id=previous,
        estimate=Estimate(input_bytes=len(body), max_output_tokens=limit, images=images_in(body)),
    )


def _instructions(data: JsonObject) -> list[Json]:
    said = data.get("instructions")

    if said is None:
        return []

    if isinstance(said, str):
        return [{"role": "developer", "content": said}] if said else []

    return messages_of(said)


def _text_options(text: JsonObject) -> JsonObject:
    options: JsonObject = {}
    wanted = object_of(text.get("format"), "text.format")
    kind = wanted.get("type", "text")

    if kind == "json_schema":
        schema = {name: value for name, value in wanted.items() if name != "type"}
        options["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif kind != "text":
        options["response_format"] = wanted

    if text.get("verbosity") is not None:
        options["verbosity"] = text["verbosity"]

    return options


def _wants_logprobs(include: Json) -> bool:
    return isinstance(include, list) and "message.output_text.logprobs" in include
