"""Counting the tokens of a request: by the upstream where it counts, else by estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spindle_conformance.upstreams.anthropic import AnthropicSimulator
from spindle_conformance.upstreams.openai import OpenAISimulator
from spindle_llm.surfaces.messages.estimate import estimated_tokens
from spindle_spi.admission import Status, TokenUsage
from spindle_spi.records import ProviderSpec
from tests.llm.support.gateway import gateway
from tests.llm.support.messages import TOOLS
from tests.llm.support.records import REQUEST, Word, model

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

PATH = "/v1/messages/count_tokens"
OWN = ProviderSpec(provider_type="anthropic", long_timeout=2.0)
OTHER = ProviderSpec(provider_type="openai", long_timeout=2.0)
ASKED: JsonObject = {
    "model": "up~plain",
    "system": "Be brief.",
    "tools": TOOLS,
    "messages": [{"role": "user", "content": "hello"}],
}


@pytest.mark.parametrize("plugins", [(), (Word(),)], ids=["raw", "hooked"])
async def test_an_upstream_that_counts_is_asked(plugins: tuple[Word, ...]) -> None:
    """By the client's own bytes where nobody looks; it settles with no tokens."""
    async with gateway(AnthropicSimulator().answer, model("plain"), spec=OWN) as up:
        up.host.plugins[:] = plugins
        client = await up.ask(ASKED, path=PATH)
        assert up.upstream.seen[-1].path == PATH
        assert up.received["model"] == "plain"
        (outcome,) = up.outcomes

        if not plugins:
            assert up.received == {**ASKED, "model": "plain"}

    assert client.status == 200
    tokens: Any = client.json["input_tokens"]
    assert tokens > 10
    assert "x-spindle-estimated" not in client.headers
    assert client.headers["request-id"] == "req-1"
    assert (outcome.status, outcome.usage) == (Status.OK, TokenUsage())


@pytest.mark.parametrize("plugins", [(), (Word(),)], ids=["plain", "hooked"])
async def test_for_others_it_is_an_estimate_and_says_so(plugins: tuple[Word, ...]) -> None:
    """Nothing is asked of the upstream."""
    async with gateway(OpenAISimulator().answer, model("plain"), spec=OTHER) as up:
        up.host.plugins[:] = plugins
        client = await up.ask(ASKED, path=PATH)
        assert up.upstream.seen == []
        (outcome,) = up.outcomes

    assert client.headers["x-spindle-estimated"] == "true"
    tokens: Any = client.json["input_tokens"]
    assert tokens > 10
    assert (outcome.status, outcome.usage) == (Status.OK, TokenUsage())


async def test_what_a_plugin_refuses_is_not_counted() -> None:
    """It would leave the gateway by being counted."""
    async with gateway(AnthropicSimulator().answer, model("plain"), spec=OWN) as up:
        up.host.plugins[:] = [Word("hello", None, REQUEST)]
        client = await up.ask(ASKED, path=PATH)
        assert up.upstream.seen == []
        (outcome,) = up.outcomes

    told: Any = client.json
    assert client.status == 403
    assert told["error"]["type"] == "permission_error"
    assert outcome.status is Status.DENIED


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "invalid_request_error"),
        (b'{"messages":[]}', 400, "invalid_request_error"),
        (b'{"model":"up~x","messages":[1]}', 404, "not_found_error"),
    ],
)
async def test_refusals_have_anthropics_form(body: bytes, status: int, kind: str) -> None:
    """Of what cannot be read, of a model that is absent or hidden."""
    async with gateway(AnthropicSimulator().answer, model("plain"), spec=OWN) as up:
        client = await up.ask(body, path=PATH)

    told: Any = client.json
    assert (client.status, told["error"]["type"]) == (status, kind)
    assert told["request_id"] == client.headers["request-id"] == "req-1"


async def test_an_upstreams_failure_is_told_and_settled() -> None:
    """As one of the upstream."""
    async with gateway(AnthropicSimulator().answer, model("error-500"), spec=OWN) as up:
        client = await up.ask({**ASKED, "model": "up~error-500"}, path=PATH)
        (outcome,) = up.outcomes

    assert client.status == 502
    assert outcome.status is Status.ERROR


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("x" * 40, 14),
        ([{"type": "text", "text": "ü" * 20}], 14),
        ([{"type": "image_url", "image_url": {"url": "data:"}}], 1604),
        ([{"type": "file", "file": {"file_data": "x" * 10_000}}], 104),
        (None, 4),
        ([5], 4),
    ],
)
def test_an_estimate_goes_by_what_is_read(content: Json, tokens: int) -> None:
    """Bytes of text, pictures, files, and something for each message."""
    request: JsonObject = {"messages": [{"role": "user", "content": content}, "none"]}
    assert estimated_tokens(request) == tokens


def test_an_estimate_counts_tools_and_calls() -> None:
    """Their schemas and their arguments."""
    calls: Json = [{"id": "x", "function": {"name": "f", "arguments": "{}"}}]
    said: JsonObject = {"messages": [{"role": "assistant", "tool_calls": calls}]}
    assert estimated_tokens(said) > 4
    assert estimated_tokens({"messages": [], "tools": [{"name": "f"}]}) > 1
    assert estimated_tokens({}) == 1
