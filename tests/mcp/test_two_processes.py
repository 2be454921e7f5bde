"""Two gateways on one store: what one holds in memory, the other does not pretend to hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.mcp.support.asking import Asking
from tests.mcp.support.clients import connected, names, text_of
from tests.mcp.support.raw import raw_client
from tests.support.spindle_process import running_spindle

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.spindle_process import SpindleProcess

pytestmark = pytest.mark.anyio

HEADERS = {"accept": "application/json, text/event-stream"}
HELLO: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}
ADA: dict[str, Any] = {"q1": {"action": "accept", "content": {"name": "Ada"}}}


def configuration(store: Path, legacy: str, modern: str) -> dict[str, Any]:
    return {
        "store": {"url": f"sqlite+aiosqlite:///{store}"},
        "modules": {"enabled": ["mcp"]},
        "mcp": {
            "gateways": {
                "demo": {"transport": "builtin"},
                "older": {"transport": "streamable_http", "url": legacy, "era": "legacy"},
                "newer": {"transport": "streamable_http", "url": modern, "era": "modern"},
            }
        },
    }


async def has_tools(server: SpindleProcess, token: str) -> None:
    """Wait until the upstreams' tools are there."""
    wanted = {"older__elicit", "newer__elicit"}

    async with connected(f"{server.url}/mcp", token=token, era="legacy") as client:
        with anyio.fail_after(20):
            while not wanted <= set(await names(client)):
                await anyio.sleep(0.05)


async def test_sessions_and_parked_calls_live_in_one_process_and_states_in_both(
    tmp_path: Path,
) -> None:
    """A session is opened anew elsewhere; a parked call is not run again; a state is good there."""
    older, newer = Asking("legacy"), Asking("modern")
    env = {"SPINDLE_SECRET_KEY": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}

    async with older.running() as legacy, newer.running() as modern:
        config = configuration(tmp_path / "spindle.db", legacy, modern)

        async with (
            running_spindle(config, home=tmp_path / "one", env=env) as one,
            running_spindle(config, home=tmp_path / "two", env=env) as two,
        ):
            token = one.admin_token
            await has_tools(one, token)
            await has_tools(two, token)

            async with one.client(token) as here, two.client(token) as there:
                opened = await here.post("/mcp", json=HELLO, headers=HEADERS)
                session = {**HEADERS, "mcp-session-id": opened.headers["mcp-session-id"]}
                ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
                known = await here.post("/mcp", json=ping, headers=session)
                unknown = await there.post("/mcp", json=ping, headers=session)
                assert (known.status_code, unknown.status_code) == (200, 404)

            async with (
                raw_client(f"{one.url}/mcp", token=token) as first,
                raw_client(f"{two.url}/mcp", token=token) as second,
            ):
                parked = await first.call("older__elicit")
                lost = await second.call(
                    "older__elicit",
                    requestState=parked["result"]["requestState"],
                    inputResponses=ADA,
                )
                begun = await first.call("newer__elicit")
                ended = await second.call(
                    "newer__elicit",
                    requestState=begun["result"]["requestState"],
                    inputResponses=ADA,
                )

            async with connected(f"{two.url}/mcp", token=token, era="legacy") as again:
                assert await text_of(again, "demo__echo", {"text": "hi"}) == "hi"

    assert lost["error"]["data"]["code"] == "mcp.call.lost"
    assert older.calls == ["elicit"]
    assert "Ada" in ended["result"]["content"][0]["text"]
