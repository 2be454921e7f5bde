"""Stream bytes on their way out: one name, every other byte kept, the rules kept at any cut."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_conformance.upstreams.plays import model_names, play_for
from spindle_conformance.upstreams.server import Ending
from spindle_llm.relay.invariants import StreamRules
from spindle_llm.surfaces.egress import StreamEgress
from spindle_spi.errors import UpstreamError
from tests.llm.relay.test_invariants import check

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

NAME = 'up~"quoted"/ü'
TOOLS: list[Json] = [{"type": "function", "function": {"name": "f"}}]


def _egress(*, wants_usage: bool = False) -> StreamEgress:
    rules = StreamRules(model=NAME, fallback_id="x")
    return StreamEgress(rules, model=NAME, wants_usage=wants_usage, limit=1 << 20)


def _out(body: bytes, *cuts: int, wants_usage: bool = False) -> bytes:
    egress = _egress(wants_usage=wants_usage)
    edges = [0, *sorted(cuts), len(body)]
    out = b""

    for start, end in zip(edges, edges[1:], strict=False):
        out += egress.feed(body[start:end])

        if egress.failure is not None:
            return out + egress.failure.code.encode()

        if egress.is_done:
            break

    try:
        return out + egress.finish()
    except UpstreamError as exc:
        return out + exc.code.encode()


def _event(delta: JsonObject, finish: str | None = None, **rest: Json) -> bytes:
    choice: JsonObject = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head: JsonObject = {"id": "c", "object": "chat.completion.chunk", "created": 5, "model": "m"}
    text = json.dumps({**head, "choices": [choice], **rest}, separators=(",", ":"))
    return b"data: " + text.encode() + b"\n\n"


ROLE = _event({"role": "assistant", "content": ""})
STOP = _event({}, "stop")
DONE = b"data: [DONE]\n\n"
RENAMED = json.dumps(NAME, ensure_ascii=False).encode()


def _renamed(body: bytes) -> bytes:
    return body.replace(b'"model":"m"', b'"model":' + RENAMED)


def _streams() -> dict[str, bytes]:
    plays = {
        name: play_for({"model": name, "stream": True, "messages": [], "tools": TOOLS})
        for name in model_names()
    }
    # A comment becomes a keep-alive only where a read holds nothing else.
    return {name: play.body for name, play in plays.items() if play.streamed and name != "comments"}


STREAMS = _streams()


def test_all_but_the_name_goes_out_byte_for_byte() -> None:
    """Texts with escapes, unknown members, odd orders: nothing is written anew."""
    body = b"".join(
        (
            ROLE,
            _event({"content": 'a"b\\n\u00e9'}),
            _event({"content": "c\\ud83e\\udd8a"}),
            _event({"reasoning_content": "r"}, service_tier="x"),
            _event({"content": "d"}),
            STOP,
            DONE,
        )
    )
    assert _out(body) == _renamed(body)


def test_spaces_between_the_tokens_are_kept() -> None:
    """As encoders write by default: only the member with the name is written anew."""
    body = b"".join(
        (
            ROLE,
            _event({"content": "a"}, obfuscation="xyz"),
            _event({"content": 'b"\\n\u00e9'}, obfuscation=""),
            _event({"content": '"delta": {"content": "c"'}),
            _event({"content": "d"}),
            STOP,
        )
    )
    loose = body.replace(b'":', b'": ').replace(b',"', b', "')
    assert _out(loose + DONE) == loose.replace(b'"model": "m"', b'"model":' + RENAMED) + DONE


def test_padding_that_changes_from_event_to_event_is_kept() -> None:
    """Upstreams that hide lengths pad each event differently."""
    body = ROLE + b"".join(
        _event({"content": "a"}, obfuscation="x" * size) for size in (3, 0, 7, 2)
    )
    assert _out(body + STOP + DONE) == _renamed(body + STOP + DONE)


@pytest.mark.parametrize(
    "text", ['"model":"m"', '"delta":{', "data: [DONE]", "\\", '","x":"', "\ufeff"]
)
def test_a_text_that_looks_like_framing_is_only_text(text: str) -> None:
    """What a model says never changes what is around it."""
    body = ROLE + _event({"content": "a"}) + _event({"content": text}) + _event({"content": "b"})
    assert _out(body + STOP + DONE).count(RENAMED) == 5
    chunks = [json.loads(block[6:]) for block in _out(body + STOP + DONE).split(b"\n\n")[:-2]]
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks] == [
        "",
        "a",
        text,
        "b",
        None,
    ]


@pytest.mark.parametrize(
    "event",
    [
        _event({"role": "assistant", "content": "b"}),
        _event({"content": "b"}).replace(b'"created":5', b'"created":6'),
        _event({"content": "b"}).replace(b'"id":"c"', b'"id":"d"'),
        _event({"content": "b"}, x={"model": "m"}),
        _event({"content": "b"}).replace(b'"model"', b'"\\u006dodel"'),
        _event({"content": "b"}).replace(b',"choices"', b'\ndata: ,"choices"'),
    ],
)
def test_an_event_that_differs_in_more_than_its_text_is_judged(event: bytes) -> None:
    """After any number of usual events, an unusual one is put right like a first one."""
    out = _out(ROLE + _event({"content": "a"}) * 3 + event + STOP + DONE)
    chunks: list[JsonObject] = [json.loads(block[6:]) for block in out.split(b"\n\n")[:-2]]
    check(chunks)
    assert len(chunks) == 6
    assert all(chunk["model"] == NAME for chunk in chunks)


@pytest.mark.parametrize("name", sorted(STREAMS))
@given(data=st.data(), wants_usage=st.booleans())
def test_the_cut_of_the_bytes_changes_nothing(
    name: str, data: st.DataObject, wants_usage: bool
) -> None:
    """For every scripted stream, good or bad, the client gets the same bytes."""
    body = STREAMS[name][:6000]
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=30))
    assert _out(body, *cuts, wants_usage=wants_usage) == _out(body, wants_usage=wants_usage)


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_every_whole_stream_keeps_the_rules(name: str) -> None:
    """What clients break on is put right; what cannot be is an error, not a finish reason."""
    is_cut = play_for({"model": name, "stream": True}).ending is not Ending.COMPLETE
    out = _out(STREAMS[name], wants_usage=True)

    if is_cut or "error" in name or "cut" in name:
        assert DONE not in out
        assert b'"finish_reason":"' not in out
        return

    assert out.endswith(DONE)
    check([json.loads(block[6:]) for block in out.split(b"\n\n")[:-2]])


def test_usage_is_stripped_unless_asked_for() -> None:
    """The ledger has it either way."""
    usage: JsonObject = {"prompt_tokens": 3, "completion_tokens": 4}
    last = _event({}).replace(
        b'[{"index":0,"delta":{},"logprobs":null,"finish_reason":null}]', b"[]"
    )
    last = last.replace(b"}\n", b"," + json.dumps({"usage": usage})[1:].encode() + b"\n")
    body = ROLE + _event({"content": "a"}) + STOP + last + DONE
    assert _out(body) == _renamed(ROLE + _event({"content": "a"}) + STOP + DONE)
    assert _out(body, wants_usage=True) == _renamed(body)
    egress = _egress()
    egress.feed(body)
    assert egress.rules.usage == usage


def test_what_came_before_an_error_goes_out_before_it() -> None:
    """Even when one read brought both."""
    egress = _egress()
    out = egress.feed(ROLE + _event({"content": "a"}) + b'data: {"error":{"message":"s"}}\n\n')
    assert out == _renamed(ROLE + _event({"content": "a"}))
    assert egress.failure is not None
    assert egress.failure.code == "upstream_error"


@pytest.mark.parametrize(
    "event",
    [
        b"event: error\ndata: {}\n\n",
        b'event: error\ndata: {"detail":"x"}\n\n',
        b"data: oops\n\n",
        b"data: []\n\n",
        b'data: {"choices":[],"x":"\xff"}\n\n',
        b'data: {"choices":[],"x":"\\ud8"}\n\n',
        b"data: %s1%s\n\n" % (b"[" * 5000, b"]" * 5000),
    ],
)
def test_what_is_no_chunk_fails_the_stream(event: bytes) -> None:
    """Named errors, other JSON, no JSON, broken text, depth."""
    egress = _egress()
    egress.feed(ROLE + _event({"content": "a"}) + event)
    assert egress.failure is not None


def test_invalid_text_in_a_usual_event_is_noticed() -> None:
    """The quick way takes nothing that the slow one would refuse."""
    egress = _egress()
    egress.feed(ROLE + _event({"content": "a"}) + _event({"content": "bX"}).replace(b"X", b"\xff"))
    assert egress.failure is not None
    egress = _egress()
    egress.feed(ROLE + _event({"content": "a"}) + _event({"content": "bX"}).replace(b"X", b"\x01"))
    assert egress.failure is not None


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    """No JSON reader of a client has to cope with it."""
    bad = _event({"content": "X"}).replace(b"X", b"\\ud83d \\ud83e\\udd8a \\\\ud83d")
    out = _out(ROLE + _event({"content": "a"}) + bad + STOP + DONE)
    assert _renamed(bad.replace(b"\\ud83d ", b"\\ufffd ", 1)) in out


def test_empty_events_and_what_follows_the_end_are_nothing() -> None:
    """An empty ping breaks clients; after [DONE] nothing counts."""
    body = ROLE + b"event: ping\ndata:\n\n" + _event({"content": "a"}) + STOP + DONE
    expected = _renamed(ROLE + _event({"content": "a"}) + STOP + DONE)
    assert _out(body + b"data: garbage\n\n") == expected


def test_an_upstreams_comment_keeps_the_client_awake_once_the_answer_began() -> None:
    """Before the first event it must not: the status is still open."""
    egress = _egress()
    assert egress.feed(b": waiting\n\n") == b""
    egress.feed(ROLE)
    assert egress.feed(b": waiting\n\n") == b": keep-alive\n\n"
