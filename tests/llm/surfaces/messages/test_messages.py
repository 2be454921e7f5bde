"""Anthropic's clients over upstreams of Anthropic's and of OpenAI's form, simulated on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spindle_conformance.upstreams.anthropic import AnthropicSimulator
from spindle_conformance.upstreams.openai import OpenAISimulator
from spindle_spi.admission import Status
from spindle_spi.records import ProviderSpec
from tests.llm.support.gateway import Gateway, gateway
from tests.llm.support.messages import TOOLS, events_of, folded, message
from tests.llm.support.records import Word, model

if TYPE_CHECKING:
    from spindle_spi.plugin import Plugin
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

OWN = ProviderSpec(provider_type="anthropic", long_timeout=2.0)
OTHER = ProviderSpec(provider_type="openai", long_timeout=2.0)
COMMON = (
    *("plain", "echo", "empty", "pii", "length", "tools", "parallel-tools", "split-tools"),
    *("text-and-tools", "reasoning", "usage-cached", "crlf", "plain@1"),
    *("parallel-tools@1", "reasoning@2"),
)
OWN_ALONE = (
    *("signed-reasoning", "signature-alone", "signed-tools", "signed-reasoning@3", "paused"),
    *("window-full", "stop-sequence", "filtered", "citations"),
)
CASES = [
    *((OWN, name) for name in (*COMMON, *OWN_ALONE)),
    *(
        (OTHER, name)
        for name in (*COMMON, "refusal", "sloppy", "sloppy-tools", "filtered", "usage-less")
    ),
]


def ids(case: object) -> str:
    """Name a case by its provider's type and its model."""
    return case.provider_type if isinstance(case, ProviderSpec) else str(case)


def play(spec: ProviderSpec) -> AnthropicSimulator | OpenAISimulator:
    """Return the upstream of a provider."""
    return AnthropicSimulator() if spec is OWN else OpenAISimulator()


async def both(up: Gateway, name: str) -> tuple[JsonObject, JsonObject]:
    """Return the whole message of a model, and its stream put together."""
    whole = await message(up, name, tools=TOOLS)
    assert whole.status == 200, whole.content
    streamed = await message(up, name, stream=True, tools=TOOLS)
    assert streamed.status == 200, streamed.content
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert "request-id" in streamed.headers
    return whole.json, folded(streamed)


@pytest.mark.parametrize("plugins", [(), (Word(),)], ids=["plain", "hooked"])
@pytest.mark.parametrize(("spec", "name"), CASES, ids=ids)
async def test_a_stream_folds_to_the_whole_message(
    spec: ProviderSpec, name: str, plugins: tuple[Plugin, ...]
) -> None:
    """Blocks, stop reason and usage; the events keep the grammar; every call is settled."""
    async with gateway(play(spec).answer, model(name), spec=spec) as up:
        up.host.plugins[:] = plugins
        whole, streamed = await both(up, name)
        counted = [outcome.usage for outcome in up.outcomes]

        for made in (whole, streamed):
            assert made["model"] == f"up~{name}"
            assert str(made["id"]).startswith("msg_")
            del made["id"]

        if any(usage is None or usage.estimated for usage in counted):
            del whole["usage"], streamed["usage"]
        else:
            assert counted[0] == counted[1]

        assert streamed == whole
        assert [outcome.status for outcome in up.outcomes] == [Status.OK, Status.OK]


async def test_what_is_left_out_is_named() -> None:
    """By the surface, and by the dialect of the upstream; each once."""
    mark: JsonObject = {"type": "ephemeral"}
    block: JsonObject = {"type": "text", "text": "hi", "cache_control": mark}

    async with gateway(play(OTHER).answer, model("plain"), spec=OTHER) as up:
        client = await message(
            up,
            "plain",
            messages=[{"role": "user", "content": [block, block]}],
            top_k=3,
            later=1,
            thinking={"type": "adaptive"},
        )
        assert up.received["messages"] == [{"role": "user", "content": "hi\n\nhi"}]

    assert client.status == 200
    assert client.headers["x-spindle-dropped-params"] == "later, top_k, cache_control"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_has_anthropics_form(stream: bool) -> None:
    """Of the request, of the model, of what only Anthropic's servers do."""
    search: JsonObject = {"type": "web_search_20250305", "name": "web_search"}
    cases: list[tuple[str, Any, int, str]] = [
        ("plain", {"max_tokens": 0}, 400, "invalid_request_error"),
        ("plain", {"messages": []}, 400, "invalid_request_error"),
        ("plain", {"tools": [search]}, 400, "invalid_request_error"),
        ("absent", {}, 404, "not_found_error"),
    ]

    async with gateway(play(OTHER).answer, model("plain"), spec=OTHER) as up:
        for name, parameters, status, kind in cases:
            client = await message(up, name, stream=stream, **parameters)
            told: Any = client.json
            assert (client.status, told["error"]["type"]) == (status, kind)
            assert told["type"] == "error"
            assert told["request_id"] == client.headers["request-id"]
            assert up.upstream.seen == []


@pytest.mark.parametrize("name", ["cut", "in-stream-error"])
async def test_a_stream_that_breaks_ends_in_an_error_event(name: str) -> None:
    """Over an upstream of another form: no `message_stop`, and a partial settlement."""
    async with gateway(play(OTHER).answer, model(name), spec=OTHER) as up:
        client = await message(up, name, stream=True)
        (outcome,) = up.outcomes

    names = [event for event, _ in events_of(client)]
    assert names[0] == "message_start"
    assert names[-1] == "error"
    assert "message_stop" not in names
    assert outcome.status is Status.PARTIAL
