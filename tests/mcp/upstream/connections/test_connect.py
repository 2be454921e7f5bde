from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spindle_mcp.upstream.connections.base import Endpoint, Request
from spindle_mcp.upstream.connections.connect import open_upstream
from spindle_mcp.upstream.connections.legacy import open_legacy
from spindle_mcp.upstream.faults import Unreachable
from spindle_spi.errors import (
    FailedPrecondition,
    GatewayError,
    InvalidArgument,
    UpstreamError,
    UpstreamTimeout,
)
from spindle_spi.records import GatewaySpec
from tests.mcp.support.requests import tool_call
from tests.mcp.support.serving import listening
from tests.mcp.support.upstream import Handshaking, Scripted, scripted

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject, Receive, Scope, Send

pytestmark = pytest.mark.anyio


def target(url: str, **fields: Any) -> Endpoint:
    return Endpoint(gateway="up", url=url, version="1", connect_seconds=2, **fields)


async def era_of(url: str, era: str = "auto") -> str:
    async with open_upstream(GatewaySpec(url=url, era=era), target(url)) as upstream:
        await upstream.list_all("tools/list", "tools")
        return upstream.era


def answering(status: int, message: JsonObject | None) -> Any:
    """An upstream that answers the question what it is in one way, and knows the older greeting."""
    import json

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = b"what?" if message is None else json.dumps(message).encode()
        kind = b"text/plain" if message is None else b"application/json"
        headers = [(b"content-type", kind)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def test_the_era_is_found_out_by_asking() -> None:
    """A server of both eras is used in the newer one; what is given is not asked."""
    async with Handshaking(is_legacy_only=False).running() as url:
        assert await era_of(url) == "modern"
        assert await era_of(url, "legacy") == "legacy"
        assert await era_of(url, "modern") == "modern"

    async with Handshaking().running() as url:
        assert await era_of(url) == "legacy"

        with pytest.raises(GatewayError):
            await era_of(url, "modern")


async def test_a_built_in_gateway_needs_no_address_and_the_unknown_is_refused() -> None:
    """By the words of the configuration."""
    async with open_upstream(GatewaySpec(transport="builtin"), target("")) as upstream:
        assert len(await upstream.list_all("tools/list", "tools")) == 4

    with pytest.raises(FailedPrecondition):
        async with open_upstream(GatewaySpec(transport="stdio"), target("")):
            pass


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (200, {"jsonrpc": "2.0", "id": 1, "result": {"supportedVersions": ["2025-11-25"]}}),
        (200, {"jsonrpc": "2.0", "id": 1, "result": {"supportedVersions": None}}),
        (404, {"jsonrpc": "2.0", "id": None, "error": {"code": -32601, "message": "no"}}),
        (
            400,
            {
                "jsonrpc": "2.0",
                "id": 1,
                "error": {"code": -32022, "message": "", "data": {"supported": ["2025-11-25"]}},
            },
        ),
        (405, None),
        (500, None),
        (200, None),
    ],
)
async def test_what_is_no_word_on_the_current_protocol_leads_to_the_older_greeting(
    status: int, message: JsonObject | None
) -> None:
    """Which this upstream does not know either, so there the failure is a handshake's."""
    async with listening(answering(status, message)) as url:
        with pytest.raises(ExceptionGroup):
            await era_of(url)

        with pytest.raises(UpstreamError):
            await era_of(url, "modern")


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (401, None, "mcp.upstream.credential_refused"),
        (429, None, "mcp.upstream.rate_limited"),
        (
            400,
            {
                "jsonrpc": "2.0",
                "id": 1,
                "error": {"code": -32022, "message": "", "data": {"supported": ["2027-01-01"]}},
            },
            "mcp.upstream.protocol_error",
        ),
    ],
)
async def test_a_refusal_is_no_word_on_the_era(
    status: int, message: JsonObject | None, code: str
) -> None:
    """It is raised as it is; greeting in the older way would change nothing."""
    async with listening(answering(status, message)) as url:
        with pytest.raises(GatewayError) as raised:
            await era_of(url)

    assert raised.value.code == code


async def test_an_outage_is_no_word_on_the_era() -> None:
    """It says nothing at all."""
    with pytest.raises(Unreachable):
        await era_of("http://127.0.0.1:1/mcp")


async def test_a_judged_address_is_used_by_the_older_client_too() -> None:
    """The name stands in the request and is not resolved again."""
    upstream = Handshaking()

    async with upstream.running() as url:
        named = url.replace("127.0.0.1", "upstream.invalid")

        async with open_legacy(target(named, address="127.0.0.1")) as connection:
            assert len(await connection.list_all("tools/list", "tools")) == 4

    assert {headers["host"].partition(":")[0] for headers in upstream.headers} == {
        "upstream.invalid"
    }


async def test_an_answer_of_an_older_upstream_is_bounded() -> None:
    """Whether it comes as JSON or as an event."""
    async with (
        Handshaking().running() as url,
        open_legacy(target(url, max_result_bytes=20_000)) as connection,
    ):
        with pytest.raises(GatewayError):
            await connection.request(tool_call("echo", {"text": "x" * 50_000}, silence=5))

        assert await connection.request(tool_call("echo", silence=5))


async def test_the_demo_gateway_refuses_what_it_does_not_know() -> None:
    """Also when it is called past the check of its schemas."""
    async with open_upstream(GatewaySpec(transport="builtin"), target("")) as demo:
        with pytest.raises(InvalidArgument):
            await demo.request(tool_call("none", silence=1))

        with pytest.raises(InvalidArgument):
            await demo.request(tool_call("add", {"a": True, "b": 1}, silence=1))

        now = await demo.request(tool_call("time", silence=1))
        assert "utc" in str(now["structuredContent"])

        with pytest.raises(UpstreamTimeout):
            await demo.request(tool_call("slow", {"delay": 30}, silence=1, deadline=0.0))


async def test_a_deadline_of_the_call_ends_it_before_the_gateways_own_patience() -> None:
    """Whoever speaks the protocol."""
    import time

    def call(name: str) -> Request:
        return tool_call(name, silence=30, deadline=time.monotonic() + 0.2)

    tools: list[JsonObject] = [{"name": "hang", "inputSchema": {"type": "object"}}]

    async with scripted(Scripted(tools=tools)) as url:
        spec = GatewaySpec(url=url)

        async with open_upstream(spec, target(url)) as upstream:
            with pytest.raises(UpstreamTimeout):
                await upstream.request(call("hang"))

    async with Handshaking().running() as url, open_legacy(target(url)) as older:
        with pytest.raises(UpstreamTimeout):
            await older.request(call("hang"))
