"""What the upstream says in each dialect: one answer, and a stream of a hundred chunks."""

from __future__ import annotations

import json
from dataclasses import dataclass

CHUNKS = 100
MODEL = "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Canned bytes; what opens and what ends a stream goes with its first and last chunk."""

    answer: bytes
    events: tuple[bytes, ...]

    def first(self, chunks: int) -> tuple[bytes, ...]:
        """Return the events of a shorter stream."""
        return (*self.events[: max(1, chunks - 1)], self.events[-1])


def _data(event: object) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def _named(event: dict[str, object]) -> bytes:
    return b"event: " + str(event["type"]).encode() + b"\n" + _data(event)


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _data(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": MODEL,
            "choices": [choice],
            "usage": None,
        }
    )


_USAGE = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"bench","choices":[],"usage":{"prompt_tokens":200,"completion_tokens":100,'
    b'"total_tokens":300}}\n\ndata: [DONE]\n\n'
)
OPENAI = Dialect(
    answer=json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "x" * 700, "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 200, "completion_tokens": 150, "total_tokens": 350},
        }
    ).encode(),
    events=(
        _chunk({"role": "assistant", "content": ""}),
        *(_chunk({"content": f"word{number} "}) for number in range(CHUNKS - 2)),
        _chunk({}, "stop") + _USAGE,
    ),
)

_MESSAGE: dict[str, object] = {
    "id": "msg_bench",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "stop_sequence": None,
}


def _text(text: str) -> bytes:
    delta = {"type": "text_delta", "text": text}
    return _named({"type": "content_block_delta", "index": 0, "delta": delta})


ANTHROPIC = Dialect(
    answer=json.dumps(
        {
            **_MESSAGE,
            "content": [{"type": "text", "text": "x" * 700}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 200, "output_tokens": 150},
        }
    ).encode(),
    events=(
        _named(
            {
                "type": "message_start",
                "message": {
                    **_MESSAGE,
                    "content": [],
                    "stop_reason": None,
                    "usage": {"input_tokens": 200, "output_tokens": 1},
                },
            }
        )
        + _named(
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "text", "text": ""},
            }
        ),
        *(_text(f"word{number} ") for number in range(CHUNKS - 2)),
        _named({"type": "content_block_stop", "index": 0})
        + _named(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 100},
            }
        )
        + _named({"type": "message_stop"}),
    ),
)
