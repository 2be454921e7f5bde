"""What a team may not see is, for its members, not there: on every surface, byte for byte."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.journeys.gateway import HIDDEN_MODEL, HIDDEN_TOOL, Gateway, running_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.types import JsonObject

MODERN = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two gateways: in one the records are hidden from blue, in the other they do not exist."""

    hidden: Gateway
    absent: Gateway


@pytest.fixture(scope="module", params=["direct", "loopback"])
async def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Pair]:
    async with (
        running_gateway(tmp_path_factory.mktemp("hidden"), transport=request.param) as hidden,
        running_gateway(
            tmp_path_factory.mktemp("absent"), transport=request.param, hidden=False
        ) as absent,
    ):
        yield Pair(hidden, absent)


async def ask(
    gateway: Gateway, token: str, method: str, path: str, body: object = None, **headers: str
) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=30, trust_env=False) as client:
        return await client.request(
            method,
            path,
            json=body,
            headers={
                "authorization": f"Bearer {token}",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )


def rpc(method: str, **params: object) -> JsonObject:
    return json.loads(  # type: ignore[no-any-return]
        json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": _META}}
        )
    )


def mcp_headers(method: str, name: str | None = None) -> dict[str, str]:
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp_protocol_version": MODERN,
        "mcp_method": method,
    }
    return headers if name is None else {**headers, "mcp_name": name}


def normalised(response: httpx2.Response) -> tuple[int, dict[str, str], str]:
    """Status, headers and body with ids and dates made equal."""
    headers = {
        name: re.sub(r"req_[0-9a-zA-Z]+", "ID", value)
        for name, value in response.headers.items()
        if name not in ("date", "openai-processing-ms")
    }
    body = re.sub(r"req_[0-9a-zA-Z]+", "ID", response.text)
    body = re.sub(r'"(elapsed_ms|created)": ?[0-9.]+', r'"\1":0', body)
    headers.pop("content-length", None)
    return response.status_code, headers, body


def chat(model: str, *, stream: bool = False) -> JsonObject:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
async def test_lists_of_models_are_the_same(pair: Pair, path: str) -> None:
    """Blue's list is byte for byte the list of a gateway without the record; red's has it."""
    hidden = await ask(pair.hidden, pair.hidden.blue, "GET", path)
    absent = await ask(pair.absent, pair.absent.blue, "GET", path)
    assert normalised(hidden) == normalised(absent)
    assert HIDDEN_MODEL not in hidden.text
    assert HIDDEN_MODEL in (await ask(pair.hidden, pair.hidden.red, "GET", path)).text


@pytest.mark.requirement("000-core-policy")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_a_hidden_model_is_answered_like_an_absent_one(
    pair: Pair, path: str, stream: bool
) -> None:
    """Same status, same headers, same body."""
    hidden = await ask(
        pair.hidden, pair.hidden.blue, "POST", path, chat(HIDDEN_MODEL, stream=stream)
    )
    absent = await ask(
        pair.absent, pair.absent.blue, "POST", path, chat(HIDDEN_MODEL, stream=stream)
    )
    assert hidden.status_code == 404
    assert normalised(hidden) == normalised(absent)


async def test_a_hidden_model_is_absent_by_id(pair: Pair) -> None:
    """The single-model route tells no more than the list."""
    path = f"/v1/models/{HIDDEN_MODEL}"
    hidden = await ask(pair.hidden, pair.hidden.blue, "GET", path)
    assert hidden.status_code == 404
    assert normalised(hidden) == normalised(await ask(pair.absent, pair.absent.blue, "GET", path))
    assert (await ask(pair.hidden, pair.hidden.red, "GET", path)).status_code == 200


@pytest.mark.parametrize("path", ["/mcp", "/servers/desk/mcp"])
async def test_lists_of_tools_are_the_same(pair: Pair, path: str) -> None:
    """Blue's tools/list is that of a gateway without the tool; red's has it."""
    request, headers = rpc("tools/list"), mcp_headers("tools/list")
    hidden = await ask(pair.hidden, pair.hidden.blue, "POST", path, request, **headers)
    absent = await ask(pair.absent, pair.absent.blue, "POST", path, request, **headers)
    assert hidden.status_code == 200
    assert normalised(hidden) == normalised(absent)
    assert HIDDEN_TOOL not in hidden.text
    red = await ask(pair.hidden, pair.hidden.red, "POST", path, request, **headers)
    assert HIDDEN_TOOL in red.text


@pytest.mark.parametrize("path", ["/mcp", "/servers/desk/mcp"])
async def test_a_hidden_tool_is_answered_like_an_absent_one(pair: Pair, path: str) -> None:
    """Unknown tool, byte for byte."""
    request = rpc("tools/call", name=HIDDEN_TOOL, arguments={"text": "x"})
    headers = mcp_headers("tools/call", HIDDEN_TOOL)
    hidden = await ask(pair.hidden, pair.hidden.blue, "POST", path, request, **headers)
    absent = await ask(pair.absent, pair.absent.blue, "POST", path, request, **headers)
    assert normalised(hidden) == normalised(absent)
    assert "-32602" in hidden.text
    red = await ask(pair.hidden, pair.hidden.red, "POST", path, request, **headers)
    assert '"isError":true' not in red.text
    assert "-32602" not in red.text


@pytest.mark.requirement("000-llmchat-connect", "000-llmchat-status", "000-llmchat-disconnect")
async def test_session_chat_shows_neither(pair: Pair) -> None:
    """Connecting to the hidden model, and the tools a session offers, tell nothing."""
    answers: list[list[tuple[int, dict[str, str], str]]] = []

    for gateway in (pair.hidden, pair.absent):
        user = await gateway.token_id("blue")
        refused = await ask(
            gateway,
            gateway.blue,
            "POST",
            "/llmchat/connect",
            {"user_id": user, "llm": {"model": HIDDEN_MODEL}},
        )
        connected = await ask(
            gateway,
            gateway.blue,
            "POST",
            "/llmchat/connect",
            {"user_id": user, "server": {"slug": "desk"}, "llm": {"model": "up~echo"}},
        )
        assert connected.status_code == 200, connected.text
        status = await ask(gateway, gateway.blue, "GET", f"/llmchat/status/{user}")
        ended = await ask(gateway, gateway.blue, "POST", "/llmchat/disconnect", {"user_id": user})
        answers.append([_without(user, found) for found in (refused, connected, status, ended)])
        assert refused.status_code == 404
        assert "demo__echo" in connected.text
        assert HIDDEN_TOOL not in connected.text

    assert answers[0] == answers[1]


def _without(user: str, response: httpx2.Response) -> tuple[int, dict[str, str], str]:
    status, headers, body = normalised(response)
    return status, headers, body.replace(user, "USER")
