"""The parts of a scripted answer in OpenAI's form: members of a message, deltas of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.answers import Call, Choice, Redacted, Refusal, Text, Thought
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_DETAIL_FORMAT = "anthropic-claude-v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Where servers that speak OpenAI's form differ in how they write parts."""

    reasoning_field: str = "reasoning_content"
    """Where reasoning stands as text; empty: nowhere."""
    reasoning_details: bool = False
    """Whether reasoning stands in a list of details, with signatures and what is sealed."""
    indexed: bool = True
    """Whether deltas of tool calls have an `index`."""
    with_refusal: bool = True
    """Whether a message has a `refusal`, be it null."""
    calls_at_once: bool = False
    """Whether a call comes in one delta."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """One delta of one choice."""

    said: JsonObject = field(default_factory=dict[str, "Json"])
    token: str | None = None
    """The piece of text in it, for its log probability."""
    position: int = 0
    finish: str | None = None


def message_of(form: Form, choice: Choice) -> JsonObject:
    """Return the message of a whole answer."""
    message: JsonObject = {
        "role": "assistant",
        "content": choice.text if choice.of(Text) else None,
    }

    if form.with_refusal:
        message["refusal"] = choice.refusal if choice.of(Refusal) else None

    if form.reasoning_field and choice.of(Thought):
        message[form.reasoning_field] = choice.reasoning

    details = [_detail(part, number) for number, part in enumerate(_thoughts(choice))]

    if form.reasoning_details and details:
        message["reasoning_details"] = list[Json](details)

    if choice.calls:
        message["tool_calls"] = [call_object(call, call.arguments) for call in choice.calls]

    return message


def deltas_of(form: Form, choice: Choice) -> list[Delta]:
    """Return the deltas of a choice, without the one that ends it."""
    deltas = [Delta(said={"role": "assistant", "content": ""})]
    position, calls, details = 0, 0, 0

    for part in choice.parts:
        match part:
            case Text():
                for piece in part.pieces:
                    deltas.append(Delta(said={"content": piece}, token=piece, position=position))
                    position += 1
            case Refusal():
                deltas += [Delta(said={"refusal": piece}) for piece in part.pieces]
            case Call():
                deltas += [Delta(said=said) for said in _call_deltas(form, part, calls)]
                calls += 1
            case _:
                deltas += [Delta(said=said) for said in _thought_deltas(form, part, details)]
                details += 1

    return deltas


def call_object(call: Call, arguments: str) -> JsonObject:
    """Return a tool call whose arguments are text."""
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def logprobs_of(tokens: Sequence[str], start: int = 0) -> JsonObject:
    """Return the log probabilities of pieces, which follow from their positions."""
    entries: list[Json] = [
        token_logprob(token, position) for position, token in enumerate(tokens, start)
    ]
    return {"content": entries, "refusal": None}


def token_logprob(token: str, position: int) -> JsonObject:
    """Return the log probability of one piece, and of one that was not taken."""
    value = -(position + 1) / 8
    other: JsonObject = {"token": "no", "logprob": value - 1, "bytes": [110, 111]}
    own: JsonObject = {"token": token, "logprob": value, "bytes": list[Json](token.encode())}
    return {**own, "top_logprobs": [own, other]}


def _thoughts(choice: Choice) -> tuple[Thought | Redacted, ...]:
    return tuple(part for part in choice.parts if isinstance(part, Thought | Redacted))


def _detail(part: Thought | Redacted, index: int) -> JsonObject:
    head: JsonObject = {"format": _DETAIL_FORMAT, "index": index}

    if isinstance(part, Redacted):
        return {"type": "reasoning.encrypted", "data": part.data, **head}

    detail: JsonObject = {"type": "reasoning.text", "text": "".join(part.pieces), **head}
    return {**detail, "signature": part.signature} if part.signature else detail


def _thought_deltas(form: Form, part: Thought | Redacted, index: int) -> Iterator[JsonObject]:
    if isinstance(part, Redacted):
        yield {"reasoning_details": [_detail(part, index)]}
        return

    for piece in part.pieces:
        said: JsonObject = {form.reasoning_field: piece} if form.reasoning_field else {}

        if form.reasoning_details:
            detail = _detail(Thought(pieces=(piece,)), index)
            said["reasoning_details"] = [detail]

        yield said

    if form.reasoning_details and part.signature:
        signed: JsonObject = {
            "type": "reasoning.text",
            "signature": part.signature,
            "format": _DETAIL_FORMAT,
            "index": index,
        }
        yield {"reasoning_details": [signed]}


def _call_deltas(form: Form, call: Call, index: int) -> Iterator[JsonObject]:
    numbered: JsonObject = {"index": index} if form.indexed else {}

    if form.calls_at_once:
        yield {"tool_calls": [{**numbered, **call_object(call, call.arguments)}]}
        return

    yield {"tool_calls": [{**numbered, **call_object(call, "")}]}

    for piece in call.pieces:
        yield {"tool_calls": [{**numbered, "function": {"arguments": piece}}]}
