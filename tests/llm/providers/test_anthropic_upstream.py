"""OpenAI's clients over an Anthropic upstream, simulated on the wire."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.anthropic import AnthropicSimulator
from spindle_conformance.upstreams.repertoire import act_names
from spindle_llm.relay.folding import Fold
from spindle_spi.admission import Status
from spindle_spi.records import ProviderSpec
from tests.llm.support.gateway import Client, Gateway, gateway
from tests.llm.support.records import Word, model

if TYPE_CHECKING:
    from spindle_spi.plugin import Plugin
    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

SPEC = ProviderSpec(provider_type="anthropic", long_timeout=2.0)
PLAIN = "Grüße! The quick brown fox (狐) jumps over the lazy dog 🦊 and says “hello”."
TOOLS: list[Json] = [
    {"type": "function", "function": {"name": "f"}},
    {"type": "function", "function": {"name": "g"}},
]
GOOD = (
    *("plain", "echo", "empty", "pii", "length", "filtered", "paused", "window-full"),
    *("stop-sequence", "reasoning", "signed-reasoning", "signature-alone", "citations", "tools"),
    *("parallel-tools", "text-and-tools", "split-tools", "signed-tools", "usage-less"),
    *("usage-cached", "usage-zero", "crlf", "plain@1", "parallel-tools@1", "signed-reasoning@3"),
)
USAGE: JsonObject = {"include_usage": True}


def essence(value: Json) -> Json:
    """Return an answer without what is made up, and arguments by their value."""
    if isinstance(value, dict):
        return {
            name: json.loads(str(entry)) if name == "arguments" else essence(entry)
            for name, entry in value.items()
            if entry is not None and name != "created"
        }

    return [essence(entry) for entry in value] if isinstance(value, list) else value


def folded(client: Client) -> JsonObject:
    """Return what the chunks of a stream come to."""
    fold = Fold()

    for chunk in client.chunks:
        fold.add(chunk)

    return fold.answer()


async def both(up: Gateway, name: str) -> tuple[JsonObject, JsonObject]:
    """Return the whole answer of a model, and its stream put together."""
    whole = await up.chat(f"up~{name}", tools=TOOLS)
    assert whole.status == 200, whole.content
    streamed = await up.chat(f"up~{name}", stream=True, tools=TOOLS, stream_options=USAGE)
    assert streamed.status == 200, streamed.content
    return whole.json, folded(streamed)


@pytest.mark.parametrize("plugins", [(), (Word(),)], ids=["plain", "hooked"])
@pytest.mark.parametrize("name", GOOD)
async def test_a_stream_folds_to_the_whole_answer(name: str, plugins: tuple[Plugin, ...]) -> None:
    """Content, thoughts, calls, finish reason and usage, with plugins and without."""
    base, _, _ = name.partition("@")
    assert base in act_names()

    async with gateway(AnthropicSimulator().answer, model(name), spec=SPEC) as up:
        up.host.plugins[:] = plugins
        whole, streamed = await both(up, name)
        assert essence(streamed) == essence(whole)
        assert [outcome.status for outcome in up.outcomes] == [Status.OK, Status.OK]
