"""An operator builds a gateway while it runs: what is made, changed and deleted works at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from tests.journeys.surfaces import ENVELOPE, STREAMS
from tests.support.spindle_process import running_spindle
from tests.support.upstream_process import running_upstream

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from spindle_spi.types import JsonObject

SETTINGS: JsonObject = {
    "egress": {"allowed_hosts": ["127.0.0.1"]},
    "servers": {"desk": {"gateways": ["demo"], "visibility": "public"}},
}
BODY: JsonObject = {"messages": [{"role": "user", "content": "hi"}]}


async def chat(client: httpx2.AsyncClient, model: str) -> int:
    """Return the status of a chat with a model."""
    response = await client.post("/v1/chat/completions", json={"model": model, **BODY})
    return response.status_code


async def models(client: httpx2.AsyncClient) -> list[str]:
    """Return the names clients see."""
    return [str(entry["id"]) for entry in (await client.get("/v1/models")).json()["data"]]


async def call(client: httpx2.AsyncClient, tool: str) -> JsonObject:
    """Call a tool over MCP and return the message."""
    answer = await client.post(
        "/mcp",
        json={
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": tool, "arguments": {"text": "hello"}, "_meta": ENVELOPE},
        },
        headers={
            **STREAMS,
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": tool,
        },
    )
    message: JsonObject = answer.json()
    return message


async def make(client: httpx2.AsyncClient, path: str, body: JsonObject) -> str:
    """Make a record and return where it is."""
    made = await client.post(path, json=body)
    assert made.status_code == 201, made.text
    return made.headers["location"]


@pytest.mark.requirement("000-core-registry")
@pytest.mark.requirement("000-core-catalogs")
async def test_what_an_operator_makes_at_run_time_works_without_a_restart(tmp_path: Path) -> None:
    """A provider, its models declared and discovered, a gateway: made, changed, gone, made anew."""
    async with (
        running_upstream() as first,
        running_upstream() as second,
        running_spindle(SETTINGS, home=tmp_path) as process,
        process.client() as client,
    ):
        provider: JsonObject = {
            "name": "near",
            "api_base": f"{first.url}/v1",
            "api_key": "sk-of-the-upstream",
        }
        where = await make(client, "/llm/providers", provider)
        model = await make(client, "/llm/models", {"provider_id": "near", "model_id": "plain"})
        assert await chat(client, "near~plain") == 200
        assert "near~plain" in await models(client)
        assert len(await first.log()) == 1

        # Changed: the next call goes to the other address, and its models are asked for.
        changes = {"api_base": f"{second.url}/v1", "config": {"enable_discovery": True}}
        assert (await client.patch(where, json=changes)).status_code == 200
        assert await chat(client, "near~plain") == 200
        assert len(await first.log()) == 1

        with anyio.fail_after(10):
            while "near~echo" not in await models(client):
                await anyio.sleep(0.02)

        assert await chat(client, "near~echo") == 200
        assert (await client.delete(where)).status_code == 409
        assert (await client.patch(where, json={"config": {"enable_discovery": None}})).is_success

        with anyio.fail_after(10):
            while "near~echo" in await models(client):
                await anyio.sleep(0.02)

        assert (await client.post(f"{where}/state", json={"enabled": False})).is_success
        assert await chat(client, "near~plain") >= 400
        assert (await client.delete(model)).status_code == 204
        assert (await client.delete(where)).status_code == 204
        assert await chat(client, "near~plain") == 404

        # The gateway itself is an MCP server good enough to be somebody's upstream.
        gateway: JsonObject = {
            "name": "far",
            "url": f"{process.url}/servers/desk/mcp",
            "credential": process.admin_token,
        }

        for _ in range(2):
            place = await make(client, "/admin/api/v1/gateways", gateway)
            tool = "far__demo__echo"

            with anyio.fail_after(10):
                while (await client.get(f"/admin/api/v1/tools/{tool}")).status_code == 404:
                    await anyio.sleep(0.02)

            assert "hello" in str(await call(client, tool))
            assert (await client.delete(place)).status_code == 204
            assert "error" in await call(client, tool)
