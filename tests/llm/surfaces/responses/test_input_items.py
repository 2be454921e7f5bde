"""Input items as messages of a chat: calls stand with the assistant, results follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spindle_llm.surfaces.responses.input_items import listed_items, messages_of
from spindle_llm.surfaces.responses.reasoning import details_of, sealed
from spindle_spi.errors import InvalidArgument, Unsupported

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject


def test_a_text_is_what_the_user_says() -> None:
    """The shortest form of an input."""
    assert messages_of("hi") == [{"role": "user", "content": "hi"}]
    assert listed_items("hi") == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    ]


def test_a_turn_with_tools_becomes_three_messages() -> None:
    """Reasoning, text and calls are one message of the assistant; each result is one of a tool."""
    details: list[JsonObject] = [{"type": "reasoning.text", "signature": "s", "index": 0}]
    items: Json = [
        {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": sealed(details),
        },
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "2"}],
        },
        {"role": "assistant", "content": "done"},
        {"role": "assistant", "content": "really"},
    ]
    assert messages_of(items) == [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": "a",
            "reasoning_content": "hm",
            "reasoning_details": details,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": "2"},
        {"role": "assistant", "content": "done"},
        {"role": "assistant", "content": "really"},
    ]


def test_parts_keep_what_they_are() -> None:
    """Images, files, audio and refusals; a list stays a list."""
    parts: Json = [
        {"type": "input_text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "input_image", "image_url": "data:x", "detail": "low"},
        {"type": "input_file", "file_data": "data:y", "filename": "f.pdf"},
        {"type": "input_audio", "input_audio": {"data": "z", "format": "wav"}},
        {"type": "refusal", "refusal": "no"},
    ]
    (message,) = messages_of([{"role": "user", "content": parts}])
    assert message == {
        "role": "user",
        "content": [
            {"type": "text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}},
            {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
            {"type": "file", "file": {"file_data": "data:y", "filename": "f.pdf"}},
            {"type": "input_audio", "input_audio": {"data": "z", "format": "wav"}},
            {"type": "refusal", "refusal": "no"},
        ],
    }


@pytest.mark.parametrize(
    "item",
    [
        {"type": "computer_call"},
        {"role": "user", "content": [{"type": "input_image", "file_id": "f"}]},
        {"role": "user", "content": [{"type": "input_file", "file_url": "http://x"}]},
        {"role": "user", "content": [{"type": "input_video"}]},
    ],
)
def test_what_has_no_form_in_a_chat_is_refused_by_its_place(item: JsonObject) -> None:
    """The parameter says where it stands."""
    with pytest.raises(Unsupported) as caught:
        messages_of([{"role": "user", "content": "a"}, item])

    assert caught.value.param is not None
    assert caught.value.param.startswith("input[1]")


@pytest.mark.parametrize(
    "items",
    [
        7,
        [7],
        [{"role": "king", "content": "a"}],
        [{"role": "user", "content": 7}],
        [{"role": "user", "content": [7]}],
        [{"role": "user", "content": [{"type": "input_text"}]}],
        [{"type": "function_call", "name": "f", "arguments": {}, "call_id": "c"}],
        [{"type": "function_call_output", "output": "x"}],
        [{"type": "function_call_output", "output": 7, "call_id": "c"}],
    ],
)
def test_what_is_no_item_is_refused(items: Json) -> None:
    """Nothing is guessed."""
    with pytest.raises(InvalidArgument):
        messages_of(items)


@pytest.mark.parametrize(
    "content", [None, 7, "gAAAA", "spindle.1.!", "spindle.1.bm8=", "spindle.1.W10="]
)
def test_reasoning_somebody_else_sealed_is_left_out(content: Json) -> None:
    """Only what this surface made can be opened here."""
    assert details_of(content) == []


def test_unsigned_reasoning_needs_no_seal() -> None:
    """There is nothing a model would want back."""
    assert sealed([{"type": "reasoning.text", "text": "a"}]) is None
