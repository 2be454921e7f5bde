"""How Anthropic's clients are spoken to: messages whole, and the events of their streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.relay.reasoning import DETAILS
from spindle_llm.relay.wire_json import encode
from spindle_llm.surfaces.form import ChatForm, StreamWriter
from spindle_llm.surfaces.messages.blocks import (
    arguments_of,
    message_id,
    stopped,
    thinking,
    thought_block,
)
from spindle_llm.surfaces.messages.tokens import Tally, usage_shown
from spindle_llm.surfaces.messages.writer import MessageWriter
from spindle_spi.shapes import ANTHROPIC

if TYPE_CHECKING:
    from spindle_spi.errors import GatewayError
    from spindle_spi.types import Json, JsonObject


class MessagesForm(ChatForm):
    """One client of the surface."""

    shape = ANTHROPIC

    def __init__(self, request_bytes: int) -> None:
        """Speak to a client whose request was this long: its tokens are estimated by that."""
        self._request_bytes = request_bytes

    def answer(self, answer: JsonObject) -> bytes:
        """Return the answer as a message."""
        tally = Tally(self._request_bytes)
        choice = _first(answer)
        content = _content(choice, tally)
        message: JsonObject = {
            "id": message_id(answer.get("id")),
            "type": "message",
            "role": "assistant",
            "model": answer.get("model"),
            "content": content,
            **stopped(choice, refused=bool(_fields(choice).get("refusal"))),
            "usage": usage_shown(answer.get("usage"), tally),
        }
        return encode(message)

    def writer(self, model: str) -> StreamWriter:
        """Return a writer of events."""
        return MessageWriter(model, self._request_bytes)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return the error in an event of its own name."""
        return b"event: error\ndata: " + ANTHROPIC.body(error, request_id).encode() + b"\n\n"


def _first(answer: JsonObject) -> JsonObject:
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _fields(choice: JsonObject) -> JsonObject:
    message = choice.get("message")
    return message if isinstance(message, dict) else {}


def _content(choice: JsonObject, tally: Tally) -> list[Json]:
    fields = _fields(choice)
    blocks: list[Json] = [*_thoughts(fields, tally)]

    for name in ("content", "refusal"):
        text = fields.get(name)

        if isinstance(text, str) and text:
            tally.add(text)
            blocks.append({"type": "text", "text": text})

    calls = fields.get("tool_calls")
    cut = choice.get("finish_reason") == "length"

    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None

        if isinstance(call, dict) and isinstance(function, dict):
            arguments = str(function.get("arguments") or "")
            tally.add(arguments)
            blocks.append(
                {
                    "type": "tool_use",
                    "id": call.get("id"),
                    "name": function.get("name"),
                    "input": arguments_of(arguments, cut=cut),
                }
            )

    return blocks


def _thoughts(fields: JsonObject, tally: Tally) -> list[JsonObject]:
    """Return the thoughts of a message: those that are signed, else the plain text of them."""
    details = fields.get(DETAILS)
    blocks = [
        block
        for detail in (details if isinstance(details, list) else ())
        if isinstance(detail, dict) and (block := thought_block(detail)) is not None
    ]

    if not blocks:
        text = fields.get("reasoning_content") or fields.get("reasoning")
        blocks = [thinking(text, "")] if isinstance(text, str) and text else []

    for block in blocks:
        tally.add(str(block.get("thinking") or ""))

    return blocks
