"""Trace context in MCP messages: taken from a client's, and handed on to the upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.trace import traced, traceparent_in
from spindle_spi.ingress import Call
from tests.mcp.support.clients import ERAS, connected
from tests.mcp.support.records import gateway
from tests.mcp.support.serving import serving
from tests.mcp.support.upstream import Handshaking, Scripted, scripted

if TYPE_CHECKING:
    from mcp_types import RequestParamsMeta

pytestmark = pytest.mark.anyio

CLIENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
HEADER = "00-" + "c" * 32 + "-" + "d" * 16 + "-01"
META = cast("RequestParamsMeta", {"traceparent": CLIENT})

CALLERS = {"a": caller("a")}


@pytest.fixture(params=[True, False], ids=["short", "long"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of `tools/call`."""
    monkeypatch.setattr("tests.mcp.support.serving.ACCELERATED", bool(request.param))


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("header", "meta", "handed_on"),
    [
        (None, META, CLIENT),
        (HEADER, META, HEADER),
        (HEADER, None, HEADER),
        (None, None, None),
        (None, cast("RequestParamsMeta", {"traceparent": "nonsense"}), None),
    ],
)
async def test_a_newer_upstream_gets_the_trace(
    era: str, header: str | None, meta: RequestParamsMeta | None, handed_on: str | None
) -> None:
    """The header's when there is one, else the message's."""
    script, host = Scripted(), FakeHost()
    named = {} if header is None else {"traceparent": header}

    async with scripted(script) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint(), era=era, headers=named) as client,
        ):
            await client.call_tool("up__echo", {"text": "hi"}, meta=meta)

    ((_, sent),) = script.calls()
    params: Any = sent["params"]
    assert params["_meta"].get("traceparent") == handed_on


@pytest.mark.parametrize(("meta", "handed_on"), [(META, CLIENT), (None, None)])
async def test_an_older_upstream_gets_it_too(
    meta: RequestParamsMeta | None, handed_on: str | None
) -> None:
    host, upstream = FakeHost(), Handshaking()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=4) as served,
            connected(served.endpoint()) as client,
        ):
            await client.call_tool("up__echo", {"text": "hi"}, meta=meta)

    assert upstream.traces == [handed_on]


@pytest.mark.parametrize("said", [None, 7, "", "00-0-0-00", f"{CLIENT}x", CLIENT.upper()])
def test_only_a_valid_trace_is_taken(said: object) -> None:
    assert traceparent_in({"traceparent": said}) is None
    assert traceparent_in(None) is None


def test_a_call_keeps_all_else() -> None:
    call = Call(CALLERS["a"], view_key="v", deadline=7.0, depth=2, server_slug="s")
    other = traced(call, CLIENT)
    assert other.context.trace.traceparent == CLIENT
    assert other.context.subject == call.context.subject
    assert (other.view_key, other.deadline, other.depth, other.server_slug) == ("v", 7.0, 2, "s")
    assert traced(call, None) is call
