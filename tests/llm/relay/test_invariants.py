"""The rules of a stream: each breach an upstream may commit, and what clients get instead."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_llm.relay.folding import Fold
from spindle_llm.relay.invariants import StreamRules
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject


def _chunk(delta: Json = None, finish: Json = None, *, index: int = 0, **rest: Json) -> JsonObject:
    choice: JsonObject = {"index": index, "delta": delta or {}, "finish_reason": finish}
    head: JsonObject = {"id": "c", "object": "chat.completion.chunk", "created": 5, "model": "m"}
    return {**head, "choices": [choice], **rest}


def _call(**call: Json) -> JsonObject:
    return {"tool_calls": [call]}


def _sent(*chunks: JsonObject, with_usage: bool = False) -> list[JsonObject]:
    rules = StreamRules(model="up~m", fallback_id="chatcmpl-1")
    pieces = [piece for chunk in chunks for piece in rules.take(copy.deepcopy(chunk))]
    sent = [piece.chunk for piece in (*pieces, *rules.finish(with_usage=with_usage))]
    check(sent)
    return sent


def check(chunks: list[JsonObject]) -> None:
    """Assert every rule of a well-formed stream."""
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) <= 1
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    roles: set[int] = set()
    ended: set[int] = set()
    tools: dict[int, list[int]] = {}

    for position, chunk in enumerate(chunks):
        if chunk.get("usage"):
            assert (chunk["choices"], position) == ([], len(chunks) - 1)

        for choice in _list(chunk["choices"]):
            index, delta = choice["index"], choice["delta"]
            assert isinstance(index, int)
            assert isinstance(delta, dict)
            assert index not in ended
            assert (delta.get("role") is not None) == (index not in roles)
            roles.add(index)
            _check_calls(delta, tools, index)

            if choice.get("finish_reason") is not None:
                expected = {"tool_calls", "length"} if tools.get(index) else None
                assert expected is None or choice["finish_reason"] in expected
                ended.add(index)

    assert ended == roles


def _check_calls(delta: JsonObject, tools: dict[int, list[int]], index: int) -> None:
    names = tools.setdefault(index, []) if delta.get("tool_calls") else []

    for call in _list(delta.get("tool_calls")):
        function = call["function"]
        assert isinstance(function, dict)
        assert isinstance(function.get("arguments", ""), str)
        number = call["index"]
        assert isinstance(number, int)
        is_new = number == len(names)
        assert is_new == bool(call.get("id")) == bool(call.get("type"))
        names += [0] if is_new else []
        names[number] += bool(function.get("name"))
        assert names[number] <= 1


def _list(value: Json) -> list[JsonObject]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _calls(chunks: list[JsonObject]) -> list[tuple[Json, Json]]:
    fold = Fold()

    for chunk in chunks:
        fold.add(chunk)

    message = _list(fold.answer()["choices"])[0]["message"]
    assert isinstance(message, dict)
    functions = [call["function"] for call in _list(message["tool_calls"])]
    return [(f["name"], f["arguments"]) for f in functions if isinstance(f, dict)]


def test_a_stream_that_keeps_the_rules_passes_untouched() -> None:
    """Its bytes may go out as they came."""
    rules = StreamRules(model="up~m", fallback_id="x")
    chunks = [_chunk({"role": "assistant", "content": ""}), _chunk({"content": "a"})]
    pieces = [piece for chunk in chunks for piece in rules.take(chunk, b"raw")]
    pieces += rules.take(_chunk({}, "stop"), b"raw")
    pieces += rules.finish(with_usage=False)
    assert [piece.raw for piece in pieces] == [b"raw"] * 3


def test_the_role_is_said_once_and_first() -> None:
    """Missing, it is added; repeated, it is taken out."""
    sent = _sent(
        _chunk({"content": "a"}), _chunk({"role": "assistant", "content": "b"}), _chunk({}, "stop")
    )
    deltas = [_list(chunk["choices"])[0]["delta"] for chunk in sent]
    assert deltas == [{"content": "a", "role": "assistant"}, {"content": "b"}, {}]


def test_id_time_kind_and_model_are_those_of_the_first_chunk() -> None:
    """What changes from chunk to chunk is made one."""
    sent = _sent(
        _chunk({"role": "assistant"}),
        {**_chunk({"content": "a"}), "id": "other", "created": 9, "object": "x", "model": "y"},
        _chunk({}, "stop"),
    )
    assert all((c["id"], c["created"], c["model"]) == ("c", 5, "up~m") for c in sent)


def test_an_upstream_without_ids_gets_ours() -> None:
    """Every chunk has an id and a time."""
    bare: JsonObject = {"choices": [{"delta": {"content": "a"}}]}
    sent = _sent(bare, {"choices": [{"delta": {}, "finish_reason": "stop"}]})
    assert all(chunk["id"] == "chatcmpl-1" for chunk in sent)


def test_tools_that_count_from_one_and_repeat_themselves_are_put_right() -> None:
    """Indexes begin at zero; id, type and name are said once."""
    sent = _sent(
        _chunk(_call(index=1, id="a", type="function", function={"name": "f", "arguments": ""})),
        _chunk(_call(index=1, id="a", type="function", function={"name": "f", "arguments": "{}"})),
        _chunk(_call(index=2, id="b", type="function", function={"name": "g", "arguments": "{}"})),
        _chunk({}, "stop"),
    )
    assert _calls(sent) == [("f", "{}"), ("g", "{}")]


def test_two_tools_under_one_index_are_told_apart() -> None:
    """A new id is a new call."""
    sent = _sent(
        _chunk(_call(index=0, id="a", function={"name": "f", "arguments": '{"x":1}'})),
        _chunk(_call(index=0, id="b", function={"name": "g", "arguments": "{"})),
        _chunk(_call(index=0, function={"arguments": "}"})),
        _chunk({}, "tool_calls"),
    )
    assert _calls(sent) == [("f", '{"x":1}'), ("g", "{}")]


def test_tools_without_index_are_numbered() -> None:
    """By id when there is one, else by name and place."""
    both: list[Json] = [
        {"function": {"name": "f", "arguments": {"x": "ü"}}},
        {"function": {"name": "g", "arguments": None}},
    ]
    sent = _sent(_chunk({"tool_calls": both}), _chunk({}, "stop"))
    assert _calls(sent) == [("f", '{"x":"ü"}'), ("g", "{}")]
    sent = _sent(
        _chunk(_call(id="a", function={"name": "f", "arguments": ""})),
        _chunk(_call(id="b", function={"name": "g", "arguments": ""})),
        _chunk(_call(id="a", function={"arguments": "{}"})),
        _chunk(_call(function={"arguments": "[]"})),
        _chunk({}, "tool_calls"),
    )
    assert _calls(sent) == [("f", "{}"), ("g", "[]")]


def test_arguments_that_never_come_are_an_empty_object() -> None:
    """An empty text is no JSON."""
    sent = _sent(
        _chunk(_call(index=0, id="a", type="function", function={"name": "f", "arguments": ""})),
        _chunk({}, "tool_calls"),
    )
    assert _calls(sent) == [("f", "{}")]


def test_a_custom_tool_keeps_its_own_form() -> None:
    """It has an input instead of arguments."""
    custom: JsonObject = {"name": "f", "input": "x"}
    rules = StreamRules(model="m", fallback_id="x")
    rules.take(_chunk(_call(index=0, id="a", type="custom", custom=custom)))
    rules.take(_chunk({}, "tool_calls"))
    (last,) = rules.finish(with_usage=False)
    assert _list(last.chunk["choices"])[0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("stop", "stop"),
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("weird", "stop"),
        (7, "stop"),
    ],
)
def test_finish_reasons_are_those_clients_know(said: Json, told: str) -> None:
    """Unknown values would break typed clients."""
    sent = _sent(_chunk({"content": "a"}), _chunk({}, said))
    assert _list(sent[-1]["choices"])[0]["finish_reason"] == told


def test_a_choice_that_goes_on_after_its_end_ends_at_its_end() -> None:
    """Some upstreams say `stop` with every chunk; the last one counts, and no text is lost."""
    sent = _sent(
        _chunk({"content": "a"}, "stop"),
        _chunk({"content": "b"}, "stop"),
        _chunk({}, "stop"),
        _chunk({"content": "c"}),
    )
    texts = [_list(chunk["choices"])[0]["delta"] for chunk in sent]
    assert "".join(str(t.get("content", "")) for t in texts if isinstance(t, dict)) == "abc"


def test_a_chunk_of_several_choices_is_one_for_each() -> None:
    """Each choice has its own state."""
    choices: list[Json] = [
        {"index": i, "delta": {"content": "a"}, "finish_reason": None} for i in range(2)
    ]
    sent = _sent(
        {**_chunk(), "choices": choices}, _chunk({}, "stop"), _chunk({}, "length", index=1)
    )
    assert len(sent) == 4


def test_a_done_stream_without_finish_reason_gets_one() -> None:
    """The upstream said that it is done; clients need the reason."""
    sent = _sent(_chunk({"content": "a"}))
    assert _list(sent[-1]["choices"])[0]["finish_reason"] == "stop"


def test_usage_comes_last_and_alone() -> None:
    """Where the upstream puts it into a chunk with text, it is taken out and said at the end."""
    usage: JsonObject = {"prompt_tokens": 1}
    parts = [_chunk({"content": "a"}), _chunk({}, "stop", usage=usage)]
    assert _sent(*parts, with_usage=True)[-1]["usage"] == usage
    assert all(not chunk.get("usage") for chunk in _sent(*parts))
    alone: list[JsonObject] = [
        _chunk({"content": "a"}),
        _chunk({}, "stop"),
        {**_chunk(), "choices": [], "usage": usage},
    ]
    assert _sent(*alone, with_usage=True)[-1]["usage"] == usage
    without_choices: JsonObject = {"usage": usage}
    assert _sent(*alone[:2], without_choices, with_usage=True)[-1]["usage"] == usage


def test_an_empty_chunk_passes() -> None:
    """Some upstreams begin with what their filters found."""
    first: JsonObject = {**_chunk(), "choices": [], "prompt_filter_results": [1]}
    assert _sent(first, _chunk({"content": "a"}, "stop"))[0]["prompt_filter_results"] == [1]


@pytest.mark.parametrize(
    "chunk",
    [
        {"error": {"message": "secret", "code": 500}},
        {"error": "secret"},
        {"x": 1},
        {"choices": 1},
        {"choices": [1]},
        {"choices": [1, 2]},
    ],
)
def test_what_is_no_chunk_ends_the_stream(chunk: JsonObject) -> None:
    """An upstream's error stays with us, word for word."""
    rules = StreamRules(model="m", fallback_id="x")

    with pytest.raises(UpstreamError) as caught:
        rules.take(chunk)

    assert "secret" not in caught.value.message


def _some(draw: st.DrawFn, members: dict[str, list[Json]]) -> JsonObject:
    """Draw an object that has any of these members, each with one of its values."""
    names = draw(st.sets(st.sampled_from(sorted(members))))
    return {name: draw(st.sampled_from(members[name])) for name in sorted(names)}


@st.composite
def _chunks(draw: st.DrawFn) -> JsonObject:
    calls: list[Json] = []

    for _ in range(draw(st.integers(0, 2))):
        call = _some(
            draw, {"index": [0, 1, 2, 3], "id": ["a", "b", "", None], "type": ["function"]}
        )
        arguments: list[Json] = ["", "{}", None, {"x": 1}]
        call["function"] = _some(draw, {"name": ["f", "g", None], "arguments": arguments})
        calls.append(call)

    delta = _some(draw, {"role": ["assistant", None], "content": ["", "a", None]})
    delta |= {"tool_calls": calls} if calls else {}
    finish = draw(st.sampled_from([None, None, None, "stop", "length", "odd"]))
    rest = _some(draw, {"id": ["z"], "created": [None], "usage": [{"prompt_tokens": 1}]})
    return {**_chunk(delta, finish, index=draw(st.integers(0, 1))), **rest}


@given(st.lists(_chunks(), min_size=1, max_size=8), st.booleans())
def test_whatever_an_upstream_sends_clients_get_a_well_formed_stream(
    chunks: list[JsonObject], with_usage: bool
) -> None:
    """No sequence of bad chunks gets past the rules."""
    _sent(*chunks, with_usage=with_usage)


def test_a_stream_of_nothing_has_its_one_choice() -> None:
    """An upstream that says only that it is done has said an empty answer."""
    (piece,) = StreamRules(model="m", fallback_id="chatcmpl-1").finish(with_usage=True)
    delta: JsonObject = {"role": "assistant", "content": ""}
    assert piece.chunk["choices"] == [{"index": 0, "delta": delta, "finish_reason": "stop"}]
