"""OpenAI's chat surface: the lingua franca itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.relay.wire_json import encode
from spindle_llm.surfaces.egress import DONE
from spindle_llm.surfaces.form import ChatForm, StreamWriter
from spindle_spi.shapes import OPENAI

if TYPE_CHECKING:
    from spindle_spi.errors import GatewayError
    from spindle_spi.types import JsonObject


class OpenAiForm(ChatForm):
    """Answers and chunks as they are."""

    shape = OPENAI

    def __init__(self, *, wants_usage: bool) -> None:
        """Speak to a client who asked for the usage of a stream, or did not."""
        self._wants_usage = wants_usage

    def answer(self, answer: JsonObject) -> bytes:
        """Return the answer as it is."""
        return encode(answer)

    def writer(self, model: str) -> StreamWriter:
        """Return a writer of chunks."""
        del model
        return _ChunkWriter(wants_usage=self._wants_usage)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return the error object in an event."""
        return b"data: " + OPENAI.body(error, request_id).encode() + b"\n\n"


class _ChunkWriter(StreamWriter):
    def __init__(self, *, wants_usage: bool) -> None:
        self._wants_usage = wants_usage

    def take(self, chunk: JsonObject) -> bytes:
        if not chunk["choices"] and chunk.get("usage") is not None and not self._wants_usage:
            return b""

        return b"data: " + encode(chunk) + b"\n\n"

    def end(self) -> bytes:
        return DONE
