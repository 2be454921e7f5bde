"""Scripted answers: the stream of a script tells what its unary answer tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.plays import PII_TEXT, PLAIN_TEXT, play_for, script_for
from spindle_conformance.upstreams.scripts import dump
from spindle_conformance.upstreams.server import Ending

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

ANSWERING = ("plain", "reasoning", "tools", "parallel-tools", "pii", "length", "empty", "crlf")


def _request(model: str, *, stream: bool = False, text: str = "hi") -> JsonObject:
    return {
        "model": model,
        "stream": stream,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": text}],
    }


def _member(value: Json, *path: str | int) -> Json:
    """Return what stands at a path; None where it leads nowhere."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and value:
            value = value[step]
        else:
            return None

    return value


def _told(chunks: tuple[JsonObject, ...], name: str) -> str:
    pieces = [_member(chunk, "choices", 0, "delta") for chunk in chunks if chunk["choices"]]
    texts = [piece.get(name) for piece in pieces if isinstance(piece, dict)]
    return "".join(text for text in texts if isinstance(text, str))


@pytest.mark.parametrize("model", ANSWERING)
def test_the_stream_of_a_script_folds_to_its_unary_answer(model: str) -> None:
    """Content, reasoning, tool arguments, finish reason and usage are the same both ways."""
    script = script_for(_request(model))
    answer, chunks = script.answer(), script.chunks()
    message = _member(answer, "choices", 0, "message")
    assert isinstance(message, dict)

    assert _told(chunks, "content") == (message["content"] or "")
    assert _told(chunks, "reasoning_content") == message.get("reasoning_content", "")
    assert chunks[-1]["usage"] == answer["usage"]
    assert _member(chunks[-2], "choices", 0, "finish_reason") == script.finish_reason
    assert all(chunk["id"] == answer["id"] for chunk in chunks)


def test_tool_arguments_arrive_in_pieces_that_join_to_the_call() -> None:
    """Each call has an index of its own; its name comes once, its arguments in pieces."""
    script = script_for(_request("parallel-tools", text='{"a": 1, "b": [2, 3]}'))
    arguments: dict[Json, str] = {}

    for chunk in script.chunks():
        for entry in _list(_member(chunk, "choices", 0, "delta", "tool_calls")):
            text = _member(entry, "function", "arguments")
            index = _member(entry, "index")
            assert isinstance(index, int)
            assert isinstance(text, str)
            arguments[index] = arguments.get(index, "") + text

    assert [json.loads(text) for text in arguments.values()] == [{"a": 1, "b": [2, 3]}] * 2


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def test_tools_that_are_offered_are_called_and_their_results_are_told() -> None:
    """The script plays both halves of a tool loop."""
    tools: list[Json] = [{"type": "function", "function": {"name": "add"}}]
    request: JsonObject = {**_request("tools", text='{"a": 1}'), "tools": tools}
    first = script_for(request)
    result: JsonObject = {"role": "tool", "tool_call_id": "call_1", "content": "three"}
    messages: list[Json] = [{"role": "user", "content": "x"}, result]
    second = script_for({**request, "messages": messages})

    assert [(call.name, call.arguments) for call in first.calls] == [("add", '{"a": 1}')]
    assert second.content == "The tools said: three"


def test_the_bytes_of_a_stream_are_server_sent_events() -> None:
    """Every event is a data line and a blank line, and `[DONE]` ends the stream."""
    script = script_for(_request("plain"))
    events = script.stream_bytes().split(b"\n\n")
    chunks = [dump(chunk) for chunk in script.chunks()]

    assert events == [*(b"data: " + chunk for chunk in chunks), b"data: [DONE]", b""]


def test_careless_framing_says_the_same() -> None:
    """`crlf` writes a byte order mark, a comment, CRLF and split data lines; the JSON is equal."""
    body = play_for(_request("crlf", stream=True)).body.decode()
    events = [
        "\n".join(line[5:] for line in event.split("\r\n"))
        for event in body.split("\r\n\r\n")[1:-1]
    ]

    assert body.startswith("\ufeff: hello\r\n\r\n")
    assert [json.loads(event) for event in events[:-1]] == list(
        script_for(_request("crlf")).chunks()
    )


def test_usage_is_in_a_stream_only_when_asked_for_and_known() -> None:
    """Without include_usage, and for `usage-less`, no chunk speaks of usage."""
    asked = {**_request("plain", stream=True), "stream_options": None}

    assert b"prompt_tokens" not in play_for(asked).body
    assert b"prompt_tokens" not in play_for(_request("usage-less", stream=True)).body
    assert b"prompt_tokens" not in play_for(_request("usage-less")).body


def test_a_suffix_sets_the_size_of_the_writes() -> None:
    """`plain@3` is `plain` in pieces of three bytes, under its own name."""
    play = play_for(_request("plain@3"))

    assert play.chunk == 3
    assert json.loads(play.body)["model"] == "plain@3"
    assert play_for(_request("plain")).chunk is None


@pytest.mark.parametrize(
    ("model", "ending"),
    [
        ("cut", Ending.CUT),
        ("cut-before", Ending.CUT),
        ("cut-head", Ending.CUT),
        ("cut-clean", Ending.COMPLETE),
        ("hang", Ending.HANG),
        ("hang-after-first", Ending.HANG),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_does_not_finish_leaves_out_the_end(model: str, ending: Ending, stream: bool) -> None:
    """None of these bodies holds a whole answer."""
    play = play_for(_request(model, stream=stream))

    assert play.ending is ending
    assert b"[DONE]" not in play.body
    assert b'"finish_reason":"stop"' not in play.body


@pytest.mark.parametrize("model", ["error-400", "error-401", "error-429", "error-500"])
def test_refusals_have_their_status(model: str) -> None:
    """A refusal's status is in the model's name; only 429 says when to come again."""
    play = play_for(_request(model))

    assert play.status == int(model[-3:])
    assert ("retry-after" in dict(play.headers)) is (model == "error-429")


def test_careless_streams_still_answer_unary() -> None:
    """The two sloppy models are sloppy in streams alone."""
    for model in ("sloppy", "sloppy-tools"):
        assert json.loads(play_for(_request(model)).body)["object"] == "chat.completion"


def test_a_sloppy_stream_repeats_roles_and_changes_ids() -> None:
    """`sloppy` breaks what egress must mend; its text is unharmed."""
    lines = play_for(_request("sloppy", stream=True)).body.decode().split("\n\n")
    chunks = tuple(json.loads(line[6:]) for line in lines[:-2])

    assert len({chunk["id"] for chunk in chunks}) == len(chunks)
    assert sum("role" in chunk["choices"][0]["delta"] for chunk in chunks) > 2
    assert _told(chunks, "content") == PLAIN_TEXT


def test_sloppy_tools_count_from_one_and_repeat_themselves() -> None:
    """`sloppy-tools` breaks every rule of tool deltas but the arguments' own."""
    lines = play_for(_request("sloppy-tools", stream=True)).body.decode().split("\n\n")
    entries = [
        entry
        for line in lines[:-2]
        for entry in _list(_member(json.loads(line[6:]), "choices", 0, "delta", "tool_calls"))
    ]

    assert sorted({json.dumps(_member(entry, "index")) for entry in entries}) == ["1", "2"]
    assert all(_member(entry, "id") and _member(entry, "function", "name") for entry in entries)


def test_pieces_spread_what_a_plugin_looks_for() -> None:
    """No piece of `pii` holds an address or a card number whole."""
    script = script_for(_request("pii"))

    assert "".join(script.pieces) == PII_TEXT
    assert max(len(piece) for piece in script.pieces) == 3


def test_an_unknown_model_is_refused() -> None:
    """A name that stands for nothing is answered 404 in the dialect's own form."""
    play = play_for(_request("nonsense"))

    assert play.status == 404
    assert json.loads(play.body)["error"]["code"] == "model_not_found"


def test_content_in_parts_is_read() -> None:
    """`echo` joins the text parts of the last user message."""
    parts: list[Json] = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    request: JsonObject = {"model": "echo", "messages": [{"role": "user", "content": parts}]}

    assert script_for(request).content == "ab"


@pytest.mark.parametrize("model", ["refusal", "usage-cached", "cut", "sloppy", "nonsense"])
def test_not_every_model_has_a_script(model: str) -> None:
    """A script says reasoning, content and calls, and its usage follows from them."""
    with pytest.raises(KeyError, match=model):
        script_for(_request(model))


def test_a_script_knows_its_id_and_its_usage() -> None:
    """They are those of its answer."""
    script = script_for(_request("plain"))
    answer = script.answer()

    assert (script.id, script.usage) == (answer["id"], answer["usage"])
    assert json.loads(script.unary_bytes()) == answer
