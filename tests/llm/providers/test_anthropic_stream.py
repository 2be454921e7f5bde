"""Anthropic's streams at any cut: what each event stands for, and what is none of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_conformance.upstreams.dialects.anthropic import ANTHROPIC
from spindle_conformance.upstreams.framing import CRLF_FRAMING, PLAIN_FRAMING, Framing
from spindle_conformance.upstreams.repertoire import act_for
from spindle_conformance.upstreams.requests import Asked
from spindle_llm.providers.anthropic_answer import FINISH_OF, read_answer
from spindle_llm.providers.anthropic_chat import AnthropicChat
from spindle_llm.relay.folding import Fold
from spindle_spi.errors import GatewayError, RateLimited, Unavailable, UpstreamError
from tests.llm.relay.test_folding import without_nulls

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

CHAT = AnthropicChat()
NAMES = (
    *("plain", "signed-reasoning", "signature-alone", "parallel-tools", "text-and-tools"),
    *("split-tools", "usage-cached", "usage-less", "stop-sequence", "empty"),
)
START: JsonObject = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}},
}


def events(*fields: JsonObject) -> bytes:
    """Return events as bytes, under their names."""
    return b"".join(
        f"event: {entry['type']}\ndata: {json.dumps(entry)}\n\n".encode() for entry in fields
    )


def begin(index: int = 0, **block: Json) -> JsonObject:
    """Return the beginning of a block."""
    return {"type": "content_block_start", "index": index, "content_block": {**block}}


def delta(index: int = 0, **fields: Json) -> JsonObject:
    """Return a piece of a block."""
    return {"type": "content_block_delta", "index": index, "delta": {**fields}}


def stop(index: int = 0) -> JsonObject:
    """Return the end of a block."""
    return {"type": "content_block_stop", "index": index}


def decoded(*fields: JsonObject) -> list[Any]:
    """Return the chunks of some events."""
    return list(CHAT.decoder().feed(events(*fields)))


def deltas(*fields: JsonObject) -> list[Any]:
    """Return the deltas of some events after the start."""
    return [chunk["choices"][0]["delta"] for chunk in decoded(START, *fields)]


@given(
    data=st.data(),
    name=st.sampled_from(NAMES),
    framing=st.sampled_from([PLAIN_FRAMING, CRLF_FRAMING]),
)
def test_every_cut_gives_the_same_chunks_and_they_fold_to_the_answer(
    data: st.DataObject, name: str, framing: Framing
) -> None:
    """Whatever the reads hold, in either framing."""
    act = act_for(Asked(model=name, tools=("f", "g")))
    assert act is not None
    answer = act.answer
    body = ANTHROPIC.framed(ANTHROPIC.events(answer), framing)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=20)))
    decoder, fold = CHAT.decoder(), Fold()

    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        for chunk in decoder.feed(body[start:end]):
            fold.add(chunk)

    assert decoder.is_done
    whole = read_answer(json.dumps(ANTHROPIC.whole(answer)).encode())
    assert _essence(fold.answer()) == _essence(whole)


def _essence(value: Json) -> Json:
    if isinstance(value, dict):
        return {
            name: json.loads(str(entry)) if name == "arguments" else _essence(entry)
            for name, entry in value.items()
            if entry is not None and name != "created"
        }

    return without_nulls([_essence(entry) for entry in value]) if isinstance(value, list) else value


def test_nothing_is_told_before_the_first_block() -> None:
    """An upstream that fails at once fails with a status of its own."""
    assert decoded(START, {"type": "ping"}) == []
    assert deltas(begin(type="text", text="")) == [{"role": "assistant", "content": ""}]


def test_calls_are_numbered_among_calls() -> None:
    """Blocks are numbered among all blocks; a call without arguments gets an empty object."""
    assert deltas(
        begin(0, type="thinking", thinking="", signature=""),
        stop(0),
        begin(1, type="tool_use", id="a", name="f", input={}),
        delta(1, type="input_json_delta", partial_json=""),
        delta(1, type="input_json_delta", partial_json='{"x":1}'),
        stop(1),
        begin(2, type="tool_use", id="b", name="g", input={}),
        stop(2),
        begin(3, type="tool_use", id="c", name="h", input={"y": 2}),
        stop(3),
    )[1:] == [
        {"tool_calls": [_opened(0, "a", "f")]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":1}'}}]},
        {"tool_calls": [_opened(1, "b", "g")]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {"tool_calls": [_opened(2, "c", "h")]},
        {"tool_calls": [{"index": 2, "function": {"arguments": '{"y":2}'}}]},
    ]


def _opened(index: int, id_: str, name: str) -> JsonObject:
    function: JsonObject = {"name": name, "arguments": ""}
    return {"index": index, "id": id_, "type": "function", "function": function}


def test_what_nobody_knows_stands_for_nothing() -> None:
    """Events, blocks and deltas of a later version; a call of the provider's own tools."""
    assert deltas(
        {"type": "later"},
        begin(0, type="server_tool_use", id="s", name="web_search", input={}),
        delta(0, type="input_json_delta", partial_json='{"q":1}'),
        stop(0),
        begin(1, type="text", text=""),
        delta(1, type="later_delta", later=1),
        delta(1, type="text_delta", text=""),
    ) == [{"content": ""}]


def test_citations_that_name_a_page_become_annotations() -> None:
    """At the end of their text, whose place they tell; others have no word here."""
    page: JsonObject = {"type": "web_search_result_location", "url": "https://x", "title": "X"}
    chunks = deltas(
        begin(0, type="text", text=""),
        delta(0, type="text_delta", text="ab"),
        stop(0),
        begin(1, type="text", text=""),
        delta(1, type="citations_delta", citation={"type": "char_location"}),
        delta(1, type="citations_delta", citation=page),
        delta(1, type="text_delta", text="cde"),
        stop(1),
    )
    note: JsonObject = {"start_index": 2, "end_index": 5, "title": "X", "url": "https://x"}
    assert chunks[-1] == {"annotations": [{"type": "url_citation", "url_citation": note}]}
    whole: Any = read_answer(
        json.dumps(
            {
                "content": [
                    {"type": "text", "text": "ab"},
                    {"type": "text", "text": "cde", "citations": [{"type": "x"}, page]},
                ]
            }
        ).encode()
    )
    assert whole["choices"][0]["message"]["annotations"] == chunks[-1]["annotations"]


def test_counts_are_cumulative() -> None:
    """What the last event says holds; what it does not say again stays."""
    end: JsonObject = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 9, "cache_read_input_tokens": 4, "input_tokens": None},
    }
    *_, last = decoded(START, end, {"type": "message_stop"})
    assert last["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 9,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    }


def test_what_was_cached_is_part_of_the_prompt() -> None:
    """As OpenAI counts; thoughts are part of the completion."""
    usage: JsonObject = {
        "input_tokens": 1,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 300,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 40},
    }
    answer = read_answer(json.dumps({"content": [], "usage": usage}).encode())
    assert answer["usage"] == {
        "prompt_tokens": 321,
        "completion_tokens": 50,
        "total_tokens": 371,
        "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 300},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }


@pytest.mark.parametrize(("reason", "finish"), [*FINISH_OF.items(), ("later", "stop")])
def test_every_reason_to_stop_is_translated(reason: str, finish: str) -> None:
    """The vendor's own word goes along."""
    data: JsonObject = {"content": [], "stop_reason": reason, "stop_sequence": None}
    answer: Any = read_answer(json.dumps(data).encode())
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == finish
    assert choice["native_finish_reason"] == reason


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("overloaded_error", Unavailable),
        ("rate_limit_error", RateLimited),
        ("api_error", UpstreamError),
        ("timeout_error", UpstreamError),
        ("later_error", UpstreamError),
    ],
)
def test_an_error_in_the_stream_is_told_by_its_kind(kind: str, error: type[GatewayError]) -> None:
    """After what came before it; the vendor's words stay with us."""
    told: JsonObject = {"type": "error", "error": {"type": kind, "message": "sk-ant-secret"}}
    chunks = CHAT.decoder().feed(events(START, begin(type="text", text="a"), told))
    assert next(chunks)["choices"]

    with pytest.raises(error) as caught:
        next(chunks)

    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "fields",
    [(START, START), (START, delta(type="text_delta", text="x")), (START, stop())],
    ids=["two-starts", "no-block", "no-end"],
)
def test_events_out_of_order_are_refused(fields: tuple[JsonObject, ...]) -> None:
    """They are no stream of this dialect."""
    with pytest.raises(UpstreamError) as caught:
        decoded(*fields)

    assert caught.value.code == "upstream_garbage"


@pytest.mark.parametrize("data", [b"{}", b"[]", b"<html>", b'{"type":"error","content":[]}'])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    """An error under status 200, a page of HTML."""
    with pytest.raises(UpstreamError):
        CHAT.decode(data)


def test_a_stream_ends_where_it_says_so() -> None:
    """Events without names are known by their type; what follows the end does not count."""
    decoder = CHAT.decoder()
    body = events(START, {"type": "message_stop"}).replace(b"event: message_stop\n", b"")
    assert len(list(decoder.feed(body + b"data: garbage\n\nevent: x\ndata:\n\n"))) == 1
    assert decoder.is_done
    assert list(decoder.close()) == []
