"""Across protocols, through the core alone: a chat that uses a tool, a model that is a tool."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest

from tests.journeys.gateway import Gateway, running_gateway
from tests.journeys.test_mcp_client import mcp_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@pytest.fixture(scope="module", params=["direct", "loopback"])
async def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Gateway]:
    home: Path = tmp_path_factory.mktemp("home")

    async with running_gateway(home, transport=request.param) as running:
        yield running


async def calls(gateway: Gateway) -> dict[str, float]:
    """Settled calls that ended well, by kind of record."""
    metrics = await gateway.process.metrics()
    return {
        kind: metrics.get(f'spindle_calls_total{{kind="{kind}",status="ok"}}', 0.0)
        for kind in ("model", "tool")
    }


@pytest.mark.requirement("000-llmchat-chat", "000-cross-tools")
async def test_a_chat_reaches_a_tool_of_the_other_protocol(gateway: Gateway) -> None:
    """The model asks for `demo__add`, the core has it called, the answer quotes the sum."""
    before = await calls(gateway)

    async with gateway.process.client(gateway.red) as client:
        user = await gateway.token_id("red")
        connected = await client.post(
            "/llmchat/connect",
            json={"user_id": user, "server": {"slug": "desk"}, "llm": {"model": "up~tools"}},
        )
        assert connected.status_code == 200, connected.text
        assert connected.json()["status"] == "connected"
        assert connected.json()["tool_count"] == len(connected.json()["tools"]) > 0
        said = await client.post(
            "/llmchat/chat",
            json={"user_id": user, "message": json.dumps({"a": 20, "b": 22})},
        )
        assert said.status_code == 200, said.text
        answer = said.json()
        assert "42" in answer["response"]
        assert answer["tool_used"] is True
        assert answer["tools"] == ["demo__add"]
        status = await client.get(f"/llmchat/status/{user}")
        assert status.json() == {"user_id": user, "connected": True}
        ended = await client.post("/llmchat/disconnect", json={"user_id": user})
        assert ended.json()["status"] == "disconnected"
        again = await client.post("/llmchat/disconnect", json={"user_id": user})
        assert again.json()["status"] == "no_active_session"

    after = await calls(gateway)
    assert after["model"] - before["model"] == 2
    assert after["tool"] - before["tool"] == 1


async def test_a_session_is_its_callers_alone(gateway: Gateway) -> None:
    """Somebody else's user_id is refused before anything is looked up."""
    red = await gateway.token_id("red")

    async with gateway.process.client(gateway.blue) as client:
        for method, path, body in (
            ("POST", "/llmchat/connect", {"user_id": red, "llm": {"model": "up~echo"}}),
            ("POST", "/llmchat/chat", {"user_id": red, "message": "hi"}),
            ("POST", "/llmchat/disconnect", {"user_id": red}),
            ("GET", f"/llmchat/status/{red}", None),
        ):
            refused = await client.request(method, path, json=body)
            assert refused.status_code == 403, (path, refused.text)


@pytest.mark.parametrize("leg", ["modern", "legacy"])
async def test_a_model_is_a_tool(gateway: Gateway, leg: str) -> None:
    """`tools/call` on `ask` admits the tool, then the model, and answers with its text."""
    before = await calls(gateway)

    with anyio.fail_after(30):
        async with mcp_client(gateway, leg) as client:
            assert "ask" in [tool.name for tool in (await client.list_tools()).tools]
            result = await client.call_tool("ask", {"prompt": "say it"})

    assert not result.is_error
    assert "quick brown fox" in str(result.content)
    after = await calls(gateway)
    assert after["model"] - before["model"] == 1
    assert after["tool"] - before["tool"] == 1
