"""A folded stream is the unary answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_conformance.upstreams.plays import model_names, script_for
from spindle_conformance.upstreams.scripts import BARE_FRAMING, CRLF_FRAMING, PLAIN_FRAMING, frame
from spindle_llm.providers.mock_scripts import MODELS, Question
from spindle_llm.providers.mock_scripts import script_for as mock_script
from spindle_llm.relay.folding import Fold
from spindle_llm.relay.sse import SseParser

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

TOOLS: list[Json] = [{"type": "function", "function": {"name": "f", "parameters": {}}}]


def _scripted() -> list[str]:
    names: list[str] = []

    for name in model_names():
        try:
            script_for({"model": name, "messages": [], "tools": TOOLS})
        except KeyError:
            continue

        names.append(name)

    return names


def _folded(body: bytes, *cuts: int) -> JsonObject:
    parser, fold = SseParser(), Fold()
    edges = [0, *sorted(cuts), len(body)]
    events = [e for a, b in zip(edges, edges[1:], strict=False) for e in parser.feed(body[a:b])]

    for event in [*events, *parser.close()]:
        if event.data != b"[DONE]":
            fold.add(json.loads(event.data))

    return fold.answer()


def without_nulls(value: Json) -> Json:
    """Return the value without members that say nothing: unary spells them out, streams do not."""
    if isinstance(value, dict):
        return {key: without_nulls(entry) for key, entry in value.items() if entry is not None}

    return [without_nulls(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", _scripted())
@given(data=st.data())
def test_a_folded_stream_is_the_unary_answer(name: str, data: st.DataObject) -> None:
    """For every scripted answer, in every framing, at any cut."""
    script = script_for({"model": name, "messages": [], "tools": TOOLS})
    framing = data.draw(st.sampled_from([PLAIN_FRAMING, CRLF_FRAMING, BARE_FRAMING]))
    body = frame(script.chunks(), framing)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=20))
    assert without_nulls(_folded(body, *cuts)) == without_nulls(script.answer())


@pytest.mark.parametrize("name", ["echo", "plain", "long", "tools", "reasoning"])
def test_the_mock_says_the_same_as_a_stream_and_whole(name: str) -> None:
    """Its scripts are written once, for both."""
    assert name in MODELS
    body: JsonObject = {
        "messages": [{"role": "user", "content": "Grüße an alle"}],
        "tools": TOOLS,
    }
    options: JsonObject = {"long_gap_seconds": 0}
    whole = mock_script(Question(model=name, body=body, options=options))
    streamed = mock_script(Question(model=name, body={**body, "stream": True}, options=options))
    answer: JsonObject = json.loads(b"".join(whole.pieces))
    assert without_nulls(_folded(b"".join(streamed.pieces))) == without_nulls(answer)


def test_what_streams_of_others_say_is_kept() -> None:
    """Log probabilities are put together, unknown members survive, refusals are text."""
    fold = Fold()
    fold.add({"id": "a", "created": 1, "model": "m", "service_tier": "default", "choices": []})

    for token in ("x", "y"):
        logprobs: JsonObject = {"content": [{"token": token}], "refusal": None}
        delta: JsonObject = {"role": "assistant", "refusal": token, "audio": {"data": token}}
        fold.add({"choices": [{"index": 0, "delta": delta, "logprobs": logprobs}]})

    answer = fold.answer()
    assert answer["service_tier"] == "default"
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "refusal": "xy",
                "audio": {"data": "xy"},
            },
            "logprobs": {"content": [{"token": "x"}, {"token": "y"}], "refusal": None},
            "finish_reason": None,
        }
    ]
