"""Details of reasoning: pieces put together, signatures taken off what they no longer fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.relay.folding import Fold
from spindle_llm.relay.reasoning import merge_details, without_stale_signatures

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject


def test_pieces_of_one_index_belong_together() -> None:
    """Texts and signatures in a row; what has no index is an entry of its own."""
    message: JsonObject = {}
    first: Json = [{"type": "reasoning.text", "index": 0, "text": "a"}, "none"]
    second: Json = [{"type": "reasoning.encrypted", "data": "d"}]
    third: Json = [{"type": "reasoning.text", "index": 0, "text": "b", "signature": "s"}]

    for pieces in (first, second, third, None):
        merge_details(message, pieces)

    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "ab", "signature": "s"},
        {"type": "reasoning.encrypted", "data": "d"},
    ]


def test_a_folded_stream_has_whole_details_and_all_that_is_said_of_its_end() -> None:
    """The vendor's own word for it, and the sequence that ended it."""
    fold = Fold()
    delta: JsonObject = {"reasoning_details": [{"index": 0, "text": "a"}]}
    fold.add({"choices": [{"index": 0, "delta": delta}]})
    end: JsonObject = {
        "index": 0,
        "delta": {},
        "finish_reason": "stop",
        "native_finish_reason": "stop_sequence",
        "stop_reason": "END",
    }
    fold.add({"choices": [end]})
    answer = fold.answer()
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "reasoning_details": [{"index": 0, "text": "a"}],
            },
            "logprobs": None,
            "finish_reason": "stop",
            "native_finish_reason": "stop_sequence",
            "stop_reason": "END",
        }
    ]


def test_a_signature_stays_where_the_text_stayed() -> None:
    """Of two messages, of two thoughts, only what changed loses it."""
    kept: JsonObject = {"text": "a", "signature": "s"}
    same: JsonObject = {"reasoning_details": [kept]}
    before: list[Json] = [same, {"reasoning_details": [kept, {"text": "b", "signature": "t"}]}]
    changed: JsonObject = {"reasoning_details": [kept, {"text": "x", "signature": "t"}]}
    after: list[Json] = [same, changed]
    without_stale_signatures(before, after)
    assert after == [same, {"reasoning_details": [kept, {"text": "x"}]}]
    without_stale_signatures(None, after)
    assert same == {"reasoning_details": [kept]}
