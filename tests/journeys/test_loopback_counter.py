"""Over the loopback transport each SPI call is counted, and the count is that of the calls made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai
import pytest

from tests.journeys.gateway import Gateway, running_gateway
from tests.journeys.test_mcp_client import mcp_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@pytest.fixture(scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Gateway]:
    home: Path = tmp_path_factory.mktemp("home")

    async with running_gateway(home, transport="loopback", pii=True) as running:
        yield running


async def counted(gateway: Gateway) -> dict[str, float]:
    """SPI calls by service and operation."""
    metrics = await gateway.process.metrics()
    return {
        name: value for name, value in metrics.items() if name.startswith("spindle_spi_calls_total")
    }


def difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}

    for name, value in after.items():
        if delta := value - before.get(name, 0.0):
            service = name.split('service="')[1].split('"')[0]
            operation = name.split('operation="')[1].split('"')[0]
            found[f"{service}.{operation}"] = delta

    return {name: n for name, n in found.items() if not name.startswith("observability.")}


@pytest.mark.requirement("000-spi-six")
async def test_a_hooked_chat_makes_exactly_its_calls(gateway: Gateway) -> None:
    """Unary: admit, two hooks, settle. Stream: admit, one hook, one guard, settle."""
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.red) as client:
        await client.chat.completions.create(
            model="up~plain", messages=[{"role": "user", "content": "warm-up"}]
        )
        before = await counted(gateway)

        for _ in range(3):
            await client.chat.completions.create(
                model="up~plain", messages=[{"role": "user", "content": "x"}]
            )

        unary = difference(before, await counted(gateway))
        before = await counted(gateway)

        async for _ in await client.chat.completions.create(
            model="up~plain", messages=[{"role": "user", "content": "x"}], stream=True
        ):
            pass

        stream = difference(before, await counted(gateway))

    assert unary == {"catalog.admit": 3, "plugin.execute_hook": 6, "catalog.settle": 3}
    assert stream == {
        "catalog.admit": 1,
        "plugin.execute_hook": 1,
        "plugin.open_guard": 1,
        "catalog.settle": 1,
    }


@pytest.mark.requirement("card-host-routes")
async def test_a_tool_call_makes_exactly_its_calls(gateway: Gateway) -> None:
    """A modern tools/call: admit, two hooks, settle; nothing goes round the contract."""
    async with mcp_client(gateway, "modern") as client:
        await client.call_tool("demo__echo", {"text": "warm-up"})
        before = await counted(gateway)

        for _ in range(3):
            await client.call_tool("demo__echo", {"text": "x"})

        found = difference(before, await counted(gateway))

    assert found["catalog.admit"] == found["catalog.settle"] == 3
    assert found["plugin.execute_hook"] == 6
