"""Anthropic's clients over upstreams of Anthropic's and of OpenAI's form, simulated on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.anthropic import AnthropicSimulator
from spindle_conformance.upstreams.openai import OpenAISimulator
from spindle_spi.admission import Status
from spindle_spi.records import ProviderSpec
from tests.llm.support.gateway import Gateway, gateway
from tests.llm.support.messages import TOOLS, folded, message
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
