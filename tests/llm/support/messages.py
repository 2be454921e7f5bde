"""Anthropic's surface as its clients read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject
    from tests.llm.support.gateway import Client, Gateway

TOOLS: list[Json] = [
    {"name": "f", "input_schema": {"type": "object"}},
    {"name": "g", "description": "G", "input_schema": {"type": "object"}},
]


async def message(
    up: Gateway,
    model: str,
    *,
    stream: bool = False,
    headers: dict[str, str] | None = None,
    path: str = "/v1/messages",
    **body: Json,
) -> Client:
    """Ask for a message."""
    said: JsonObject = {
        "model": f"up~{model}",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": stream,
        **body,
    }
    return await up.ask(said, path=path, headers=headers)


def events_of(client: Client) -> list[tuple[str, JsonObject]]:
    """Return the events of a stream; each has a name and one line of data."""
    events: list[tuple[str, JsonObject]] = []
    text = client.content.decode()
    assert text.endswith("\n\n")

    for block in text.removesuffix("\n\n").split("\n\n"):
        if block.startswith(":"):
            continue

        name, data = block.split("\n")
        assert name.startswith("event: ")
        assert data.startswith("data: ")
        fields: JsonObject = json.loads(data.removeprefix("data: "))
        assert fields["type"] == name.removeprefix("event: ")
        events.append((name.removeprefix("event: "), fields))

    return events


def folded(client: Client) -> JsonObject:
    """Return the message that the events of a stream come to; their order is checked."""
    fold = MessageFold()

    for name, fields in events_of(client):
        fold.take(name, fields)

    assert fold.is_done
    return fold.message


class MessageFold:
    """Puts a stream together, and insists on its grammar."""

    def __init__(self) -> None:
        self.message: JsonObject = {}
        self.is_done = False
        self._content: list[JsonObject] = []
        self._pieces: list[str] = []
        self._open = False
        self._has_ended = False

    def take(self, name: str, fields: JsonObject) -> None:
        """Take the next event."""
        assert not self.is_done
        assert bool(self.message) != (name == "message_start") or name == "ping"

        match name:
            case "message_start":
                self.message = dict(_object(fields["message"]))
                assert self.message["content"] == []
                assert _object(self.message["usage"])["input_tokens"] is not None
            case "content_block_start":
                assert not self._open
                assert not self._has_ended
                assert fields["index"] == len(self._content)
                self._content.append(dict(_object(fields["content_block"])))
                self._open = True
                self._pieces = []
            case "content_block_delta":
                assert self._open
                assert fields["index"] == len(self._content) - 1
                self._grow(_object(fields["delta"]))
            case "content_block_stop":
                assert self._open
                assert fields["index"] == len(self._content) - 1
                self._open = False

                if self._pieces:
                    self._content[-1]["input"] = json.loads("".join(self._pieces))
            case "message_delta":
                assert not self._open
                assert not self._has_ended
                self._has_ended = True
                self.message.update(_object(fields["delta"]))
                usage = {**_object(self.message["usage"]), **_object(fields["usage"])}
                self.message["usage"] = usage
            case "message_stop":
                assert self._has_ended
                self.is_done = True
                self.message["content"] = [*self._content]
            case _:
                assert name == "ping"

    def _grow(self, delta: JsonObject) -> None:
        block = self._content[-1]

        match delta:
            case {"type": "text_delta", "text": str(text)}:
                block["text"] = f"{block['text']}{text}"
            case {"type": "thinking_delta", "thinking": str(text)}:
                block["thinking"] = f"{block['thinking']}{text}"
            case {"type": "signature_delta", "signature": str(text)}:
                block["signature"] = f"{block.get('signature') or ''}{text}"
            case {"type": "input_json_delta", "partial_json": str(text)}:
                self._pieces.append(text)
            case {"type": "citations_delta", "citation": citation}:
                block["citations"] = [*_list(block.get("citations")), citation]
            case _:
                raise AssertionError(delta)


def _object(value: Json) -> JsonObject:
    assert isinstance(value, dict)
    return value


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
