"""Lifters: every text a plugin may judge is found, and what it wrote stands in its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_spi.errors import ContractViolation, Origin
from spindle_spi.payloads import (
    lift_arguments,
    lift_chat_answer,
    lift_chat_request,
    lift_contents,
    lift_embedded_json,
    lift_embeddings_request,
    lift_model_request,
    lift_tool_result,
    write_back,
)
from spindle_spi.plugin import Segment, SegmentKind
from spindle_spi.types import Json, JsonObject
from tests.spi.derived import bounded

Lifter = Callable[[JsonObject], tuple[Segment, ...]]

texts = st.text(max_size=6)
keys = st.text(alphabet="ab~/#0", max_size=3)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, values, max_size=3)
anything: st.SearchStrategy[Any] = values
parts = st.one_of(
    anything,
    st.fixed_dictionaries({"type": st.just("text"), "text": texts}),
    st.fixed_dictionaries({"type": st.just("refusal"), "refusal": texts}),
    st.fixed_dictionaries({"type": st.just("image_url"), "image_url": anything}),
    st.fixed_dictionaries({"type": st.just("image"), "text": texts}),
    st.fixed_dictionaries({"type": st.just("resource"), "resource": objects}),
    st.fixed_dictionaries({"uri": texts, "text": texts, "blob": texts}),
    st.fixed_dictionaries(
        {
            "type": st.just("resource"),
            "resource": st.fixed_dictionaries({"text": texts}, optional={"blob": texts}),
        }
    ),
)
contents = anything | st.lists(parts, max_size=3)
arguments = anything | objects.map(json.dumps)
calls = st.fixed_dictionaries(
    {},
    optional={
        "function": anything | st.fixed_dictionaries({"arguments": arguments}),
        "custom": anything | st.fixed_dictionaries({"input": arguments}),
    },
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", 7])},
    optional={
        "content": contents,
        "refusal": contents,
        "reasoning": contents,
        "reasoning_details": contents,
        "audio": anything,
        "tool_calls": anything | st.lists(calls, max_size=2),
        "function_call": anything | st.fixed_dictionaries({"arguments": arguments}),
    },
)
requests = st.fixed_dictionaries(
    {"messages": anything | st.lists(messages | texts, max_size=3)},
    optional={"prediction": anything | st.fixed_dictionaries({"content": contents})},
)
inputs = st.fixed_dictionaries({"input": anything | texts | st.lists(texts | anything, max_size=3)})
choices = st.fixed_dictionaries({}, optional={"message": anything | messages, "logprobs": anything})
answers = st.fixed_dictionaries({"choices": anything | st.lists(choices, max_size=2)})
results = st.fixed_dictionaries({"content": contents}, optional={"structuredContent": anything})
documents = st.fixed_dictionaries(
    {}, optional={"contents": contents, "messages": st.lists(messages, max_size=2)}
)

FORMS = [
    (lift_arguments, objects),
    (lift_tool_result, results),
    (lift_contents, documents),
    (lift_chat_request, requests),
    (lift_chat_answer, answers),
    (lift_embeddings_request, inputs),
]
each_form = pytest.mark.parametrize(("lift", "payloads"), FORMS, ids=lambda form: str(form)[:30])


def with_texts(segments: tuple[Segment, ...], text: str) -> tuple[Segment, ...]:
    return tuple(replace(segment, text=text) for segment in segments)


def texts_of(segments: tuple[Segment, ...]) -> dict[str, str]:
    return {segment.pointer: segment.text for segment in segments}


@each_form
@given(data=st.data())
@bounded
def test_what_nobody_changed_is_the_same_object(
    lift: Lifter, payloads: st.SearchStrategy[JsonObject], data: st.DataObject
) -> None:
    """Whatever the payload is, lifting finds its way through it and leaves it alone."""
    payload = data.draw(payloads)
    before = copy.deepcopy(payload)
    segments = lift(payload)
    assert write_back(payload, segments, segments) is payload
    assert payload == before
    assert len({segment.pointer for segment in segments}) == len(segments)


@each_form
@given(data=st.data())
@bounded
def test_every_segment_can_be_replaced(
    lift: Lifter, payloads: st.SearchStrategy[JsonObject], data: st.DataObject
) -> None:
    """After all were replaced no other text is left, and the payload that went in is as it was."""
    payload = data.draw(payloads)
    before = copy.deepcopy(payload)
    segments = lift(payload)
    written = write_back(payload, segments, with_texts(segments, "~masked~"))
    assert payload == before
    json.dumps(written)
    assert {segment.text for segment in lift(written)} <= {"~masked~"}


@each_form
@given(data=st.data())
@bounded
def test_replacing_one_segment_leaves_the_others(
    lift: Lifter, payloads: st.SearchStrategy[JsonObject], data: st.DataObject
) -> None:
    """A text goes where its pointer says, and nowhere else."""
    payload = data.draw(payloads)
    segments = tuple(segment for segment in lift(payload) if segment.kind in TEXTUAL)

    if not segments:
        return

    chosen = data.draw(st.sampled_from(segments))
    after = tuple(
        replace(segment, text="~masked~") if segment is chosen else segment for segment in segments
    )
    lifted = texts_of(lift(write_back(payload, segments, after)))
    expected = {**texts_of(segments), chosen.pointer: "~masked~"}
    assert {name: text for name, text in lifted.items() if name in expected} == expected


TEXTUAL = (SegmentKind.TEXT, SegmentKind.TOOL_ARGUMENTS, SegmentKind.TOOL_RESULT)


def test_arguments_give_every_string_and_every_long_number() -> None:
    """Short numbers, booleans and null are no text; a replaced number becomes a string."""
    payload: JsonObject = {
        "to": "a@b.c",
        "deep": [{"card": 4111111111111111}, 7, True, None, 12345678.5],
        "a/b~c#d": "x",
    }
    segments = lift_arguments(payload)
    assert texts_of(segments) == {
        "/to": "a@b.c",
        "/deep/0/card": "4111111111111111",
        "/deep/4": "12345678.5",
        "/a~1b~0c~2d": "x",
    }
    assert {segment.kind for segment in segments} == {SegmentKind.TOOL_ARGUMENTS}
    written = write_back(payload, segments, with_texts(segments, "*"))
    assert written == {"to": "*", "deep": [{"card": "*"}, 7, True, None, "*"], "a/b~c#d": "*"}


def test_a_payload_deeper_than_the_stack_is_lifted_and_written() -> None:
    """Depth is a matter for the surface that parses, not a crash here."""
    deep: Json = "secret"

    for _ in range(20_000):
        deep = [deep]

    (segment,) = lift_arguments({"deep": deep})
    written = write_back({"deep": deep}, [segment], [replace(segment, text="*")])["deep"]

    while isinstance(written, list):
        (written,) = written

    assert written == "*"


def test_a_chat_message_gives_texts_parts_and_the_arguments_of_its_calls() -> None:
    """Arguments are judged after decoding, one segment for each text inside."""
    message: JsonObject = {
        "role": "assistant",
        "content": [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {}}],
        "reasoning_content": "because",
        "refusal": None,
        "tool_calls": [
            {"function": {"name": "mail", "arguments": '{"to": "a@b.c", "n": 1}'}},
            {"function": {"name": "raw", "arguments": "no json"}},
            {"custom": {"name": "shell", "input": "ls -l"}},
        ],
        "function_call": {"name": "old", "arguments": '"just text"'},
        "audio": {"id": "audio-1"},
    }
    payload: JsonObject = {"messages": [message]}
    segments = lift_chat_request(payload)
    base = "/messages/0"
    assert [(entry.pointer, entry.kind.value, entry.text) for entry in segments] == [
        (f"{base}/content/0/text", "text", "hello"),
        (f"{base}/content/1", "image", ""),
        (f"{base}/reasoning_content", "text", "because"),
        (f"{base}/audio", "audio", ""),
        (f"{base}/tool_calls/0/function/arguments#/to", "tool_arguments", "a@b.c"),
        (f"{base}/tool_calls/1/function/arguments", "tool_arguments", "no json"),
        (f"{base}/tool_calls/2/custom/input", "tool_arguments", "ls -l"),
        (f"{base}/function_call/arguments#", "tool_arguments", "just text"),
    ]
    written: Any = write_back(payload, segments, with_texts(segments, "*"))["messages"]
    assert written == [
        {
            **message,
            "content": [{"type": "text", "text": "*"}, {"type": "text", "text": "*"}],
            "reasoning_content": "*",
            "audio": None,
            "tool_calls": [
                {"function": {"name": "mail", "arguments": '{"to": "*", "n": 1}'}},
                {"function": {"name": "raw", "arguments": "*"}},
                {"custom": {"name": "shell", "input": "*"}},
            ],
            "function_call": {"name": "old", "arguments": '"*"'},
        }
    ]


def test_roles_tell_what_a_text_is() -> None:
    """What a tool said is a tool's result, also inside a chat."""
    body: JsonObject = {
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "tool", "content": "b"},
            {"role": "function", "content": ["c"]},
        ],
        "prediction": {"type": "content", "content": "d"},
    }
    assert [(entry.role, entry.kind.value, entry.text) for entry in lift_chat_request(body)] == [
        ("user", "text", "a"),
        ("tool", "tool_result", "b"),
        ("function", "tool_result", "c"),
        ("assistant", "text", "d"),
    ]


def test_an_answer_gives_its_choices_and_marks_what_repeats_them() -> None:
    """Log probabilities hold the text a second time: opaque, and null once they are refused."""
    body: JsonObject = {
        "choices": [
            {"message": {"role": "assistant", "content": "a"}, "logprobs": {"content": []}},
            {"message": {"role": "assistant", "content": "b"}, "logprobs": None},
            "no choice",
            {"message": "no message"},
        ]
    }
    segments = lift_chat_answer(body)
    assert [(entry.pointer, entry.kind.value) for entry in segments] == [
        ("/choices/0/message/content", "text"),
        ("/choices/0/logprobs", "opaque"),
        ("/choices/1/message/content", "text"),
    ]
    written: Any = write_back(body, segments, with_texts(segments, "*"))["choices"]
    assert written[0] == {"message": {"role": "assistant", "content": "*"}, "logprobs": None}


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ({"type": "text", "text": "t"}, [("/text", "tool_result")]),
        ({"type": "text", "text": "t", "resource": {}}, [("/text", "tool_result")]),
        ({"text": "t", "refusal": "r"}, [("/text", "tool_result"), ("/refusal", "tool_result")]),
        ("bare", [("", "tool_result")]),
        (
            {"type": "resource", "resource": {"uri": "u", "text": "t"}},
            [("/resource/text", "tool_result")],
        ),
        ({"type": "resource", "resource": {"uri": "u", "blob": "b"}}, [("", "opaque")]),
        (
            {"type": "resource", "resource": {"text": "t", "blob": "b"}},
            [("/resource/text", "tool_result"), ("", "opaque")],
        ),
        ({"type": "image", "data": "…"}, [("", "image")]),
        ({"type": "image", "data": "…", "text": "t"}, [("/text", "tool_result"), ("", "image")]),
        ({"type": "audio", "data": "…"}, [("", "audio")]),
        ({"type": "resource_link", "uri": "u"}, [("", "opaque")]),
        ({"type": "text", "text": ["hidden"]}, [("", "opaque")]),
        ({"type": "reasoning.summary", "summary": "s"}, [("/summary", "tool_result")]),
        (4111111111111111, [("", "opaque")]),
    ],
)
def test_a_part_hides_nothing(part: Json, found: list[tuple[str, str]]) -> None:
    """What is no text is named for what it is, also when a text stands beside it."""
    segments = lift_tool_result({"content": [part]})
    assert [
        (entry.pointer.removeprefix("/content/0"), entry.kind.value) for entry in segments
    ] == found


def test_structured_content_is_lifted_beside_the_parts() -> None:
    """A tool may say the same thing twice, and both are judged."""
    payload: JsonObject = {"content": [{"text": "a"}], "structuredContent": {"b": ["c"]}}
    assert texts_of(lift_tool_result(payload)) == {
        "/content/0/text": "a",
        "/structuredContent/b/0": "c",
    }


def test_a_prompts_content_may_stand_alone() -> None:
    """MCP allows one content object where chat has a list or a text."""
    payload: JsonObject = {
        "messages": [
            {"role": "user", "content": {"type": "text", "text": "a"}},
            {"role": "user", "content": {"type": "image", "data": "…"}},
            {"role": "user", "content": "b"},
        ]
    }
    segments = lift_contents(payload)
    assert texts_of(segments) == {
        "/messages/0/content/text": "a",
        "/messages/1/content": "",
        "/messages/2/content": "b",
    }
    written: Any = write_back(payload, segments, with_texts(segments, "*"))["messages"]
    assert [entry["content"] for entry in written] == [
        {"type": "text", "text": "*"},
        {"type": "text", "text": "*"},
        "*",
    ]


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": "shown", "a": "hidden"}', '[{"a": 1, "a": 2}]', "[" * 100_000]
)
def test_text_that_readers_read_differently_is_judged_as_it_stands(text: str) -> None:
    """A second `a` would be invisible to a plugin and visible to a tool."""
    (segment,) = lift_embedded_json(text, "/x")
    assert (segment.pointer, segment.text) == ("/x", text)


def test_several_changes_inside_one_embedded_text_are_all_made() -> None:
    """Keys that look like pointers included; a lone surrogate does not spoil the body."""
    text = json.dumps({"a#b": ["one", "\ud800"], "~2": {"/": "two"}})
    message: JsonObject = {"tool_calls": [{"function": {"arguments": text}}]}
    payload: JsonObject = {"messages": [message]}
    segments = lift_chat_request(payload)
    after = [
        segment if segment.text == "\ud800" else replace(segment, text="*") for segment in segments
    ]
    written: Any = write_back(payload, segments, after)
    body = json.dumps(written, ensure_ascii=False).encode()
    said = json.loads(body)["messages"][0]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(said) == {"a#b": ["*", "\ud800"], "~2": {"/": "*"}}


def test_a_plugin_cannot_move_a_segment() -> None:
    """The place is the lifter's word: a pointer that came back changed is not followed."""
    payload: JsonObject = {"a": "x", "b": "y"}
    segments = lift_arguments(payload)
    moved = [replace(segments[0], pointer="/b", text="*"), segments[1]]
    assert write_back(payload, segments, moved) == {"a": "*", "b": "y"}


def test_a_plugin_cannot_lose_a_segment() -> None:
    """A different number of segments is the plugin's fault, and the call fails closed."""
    payload: JsonObject = {"a": "x"}

    with pytest.raises(ContractViolation) as caught:
        write_back(payload, lift_arguments(payload), [])

    assert caught.value.origin is Origin.PLUGIN


@pytest.mark.parametrize("pointer", ["/a/b", "/a/b/c"])
def test_a_pointer_into_another_payload_is_an_error(pointer: str) -> None:
    """Segments belong to the payload they were lifted from."""
    segment = Segment(pointer=pointer, kind=SegmentKind.TEXT, text="x")

    with pytest.raises(KeyError):
        write_back({"a": "x"}, [segment], [replace(segment, text="*")])


@pytest.mark.parametrize(
    ("given", "lifted"),
    [
        ("a", [("/input", "text", "a")]),
        (["a", "b"], [("/input/0", "text", "a"), ("/input/1", "text", "b")]),
        ([1, 2], [("/input", "opaque", "")]),
        ([[1], "a"], [("/input/0", "opaque", ""), ("/input/1", "text", "a")]),
        ([], []),
        (None, [("/input", "opaque", "")]),
    ],
)
def test_inputs_of_embeddings_are_texts_or_opaque(
    given: Json, lifted: list[tuple[str, str, str]]
) -> None:
    """A list of tokens is one input that nobody can read."""
    segments = lift_embeddings_request({"input": given})
    assert [(entry.pointer, entry.kind.value, entry.text) for entry in segments] == lifted


def test_a_request_to_a_model_is_a_chat_or_one_for_embeddings() -> None:
    """What has messages is a chat, whatever else it has."""
    vectors: Any = {"input": ["hello"]}
    chat: Any = {"messages": [{"role": "user", "content": "hello"}], "input": "elsewhere"}
    assert lift_model_request(vectors) == lift_embeddings_request(vectors) != ()
    assert lift_model_request(chat) == lift_chat_request(chat) != ()
