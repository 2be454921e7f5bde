"""With `pii` on, both protocols mask, unary and stream, whatever the chunking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai
import pytest

from tests.journeys.gateway import Gateway, running_gateway
from tests.journeys.test_mcp_client import mcp_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

MASKED = "Write to [EMAIL] or pay with [CARD] before noon."


@pytest.fixture(
    scope="module",
    params=[(0, "direct"), (1, "direct"), (5, "loopback")],
    ids=lambda p: f"chunk{p[0]}-{p[1]}",
)
async def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Gateway]:
    chunk, transport = request.param
    home: Path = tmp_path_factory.mktemp("home")

    async with running_gateway(home, chunk=chunk, transport=transport, pii=True) as running:
        yield running


async def test_a_chat_answer_is_masked_unary_and_stream(gateway: Gateway) -> None:
    """The same masked text, whichever way it was asked for."""
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.red) as client:
        unary = await client.chat.completions.create(
            model="up~pii", messages=[{"role": "user", "content": "x"}]
        )
        text = ""

        async for chunk in await client.chat.completions.create(
            model="up~pii", messages=[{"role": "user", "content": "x"}], stream=True
        ):
            assert "ada" not in (chunk.choices[0].delta.content or "") if chunk.choices else True
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""

    assert unary.choices[0].message.content == MASKED == text


async def test_a_request_is_masked_before_it_leaves(gateway: Gateway) -> None:
    """What the client typed does not reach the upstream."""
    await gateway.upstream.reset()

    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.red) as client:
        await client.chat.completions.create(
            model="up~echo", messages=[{"role": "user", "content": "I am bob@example.org"}]
        )

    (seen,) = await gateway.upstream.log()
    assert "bob@example.org" not in str(seen)
    assert "[EMAIL]" in str(seen)


@pytest.mark.parametrize("leg", ["modern", "legacy", "stdio"])
async def test_a_tool_call_is_masked_both_ways(gateway: Gateway, leg: str) -> None:
    """The echo tool gets masked arguments, so it can only answer masked text."""
    async with mcp_client(gateway, leg) as client:
        result = await client.call_tool(
            "demo__echo", {"text": "mail bob@example.org, card 4111-1111-1111-1111"}
        )

    assert "bob@" not in str(result)
    assert "4111" not in str(result)
    assert "mail [EMAIL], card [CARD]" in str(result.content)
