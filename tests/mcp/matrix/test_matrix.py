"""Every client era against every upstream era, through the gateway; a cell works or says why not.

The table is the claim; what is not in `NOT_APPLICABLE`, with a reason, is tested.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.admission import Status
from tests.mcp.support.answering import Answering
from tests.mcp.support.asking import TOOLS, Asking
from tests.mcp.support.clients import connected, error_of, first_text
from tests.mcp.support.records import gateway
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp.client import Client

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a"), "b": caller("b")}
ERAS = ("modern", "legacy")
NOT_APPLICABLE: dict[tuple[str, str, str], str] = {}
"""`(feature, client, upstream)` that the protocol has no way for, with the reason."""
FEATURES = (
    "call",
    "error",
    "progress",
    "cancel",
    "elicit",
    "visit",
    "sample",
    "roots",
    "log",
    "resource",
    "prompt",
    "complete",
    "list_changed",
    "subscribe",
)


def cells(feature: str) -> pytest.MarkDecorator:
    """Return the cells of a feature that have to work, by both ways of `tools/call`."""
    return pytest.mark.parametrize(
        ("client_era", "upstream_era", "accelerated"),
        [
            (client, upstream, accelerated)
            for client in ERAS
            for upstream in ERAS
            for accelerated in (True, False)
            if (feature, client, upstream) not in NOT_APPLICABLE
        ],
    )


@asynccontextmanager
async def cell(
    upstream: Asking, client_era: str, accelerated: bool, answering: Answering, host: FakeHost
) -> AsyncGenerator[Client]:
    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era=upstream.era))
        era = "2026-07-28" if client_era == "modern" else "legacy"

        async with (
            serving(
                host, CALLERS, wait_for=len(TOOLS), config={"accelerated": accelerated}
            ) as served,
            connected(served.endpoint(), era=era, **answering.options()) as client,
        ):
            yield client


@cells("call")
async def test_call(client_era: str, upstream_era: str, accelerated: bool) -> None:
    upstream, host = Asking(upstream_era), FakeHost()

    async with cell(upstream, client_era, accelerated, Answering(), host) as client:
        result = await client.call_tool("up__echo", {"text": "hi"})

    assert first_text(result) == "hi"
    assert host.outcome.status is Status.OK


@cells("error")
async def test_error(client_era: str, upstream_era: str, accelerated: bool) -> None:
    upstream, host = Asking(upstream_era), FakeHost()

    async with cell(upstream, client_era, accelerated, Answering(), host) as client:
        result = await client.call_tool("up__fail", {})
        unknown = await error_of(client, "up__none", {})

    assert result.is_error is True
    assert unknown.code == -32602


@cells("progress")
async def test_progress(client_era: str, upstream_era: str, accelerated: bool) -> None:
    upstream, host, answering = Asking(upstream_era), FakeHost(), Answering()

    async with cell(upstream, client_era, accelerated, answering, host) as client:
        await client.call_tool("up__steps", {}, progress_callback=answering.hear)

    assert answering.progress == [(1.0, 2.0, "step 1.0"), (2.0, 2.0, "step 2.0")]


@cells("cancel")
async def test_cancel(client_era: str, upstream_era: str, accelerated: bool) -> None:
    upstream, host = Asking(upstream_era), FakeHost()

    async with cell(upstream, client_era, accelerated, Answering(), host) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "up__hang")

            with anyio.fail_after(10):
                await upstream.reached.wait()

            group.cancel_scope.cancel()

        with anyio.fail_after(10):
            await upstream.cancelled.wait()

            while not host.journal.settled:
                await anyio.sleep(0.005)

    assert host.outcome.status is Status.CANCELLED


@cells("elicit")
async def test_elicit(client_era: str, upstream_era: str, accelerated: bool) -> None:
    """One question, one answer, one piece of work, and nothing left open."""
    upstream, host, answering = Asking(upstream_era), FakeHost(), Answering()

    async with cell(upstream, client_era, accelerated, answering, host) as client:
        result = await client.call_tool("up__elicit", {})

    assert "Ada" in first_text(result)
    assert [params.message for params in answering.asked] == ["Who are you?"]
    assert upstream.heard == [{"action": "accept", "content": {"name": "Ada"}}]
    assert upstream.calls == ["elicit"]
    assert not host.open_leases


@cells("visit")
async def test_elicitation_by_a_link(client_era: str, upstream_era: str, accelerated: bool) -> None:
    upstream, host, answering = Asking(upstream_era), FakeHost(), Answering()

    async with cell(upstream, client_era, accelerated, answering, host) as client:
        await client.call_tool("up__visit", {})

    assert [params.url for params in answering.asked] == ["https://example.com/login"]
    assert upstream.heard == [{"action": "accept"}]


@cells("sample")
async def test_sample(client_era: str, upstream_era: str, accelerated: bool) -> None:
    upstream, host, answering = Asking(upstream_era), FakeHost(), Answering()

    async with cell(upstream, client_era, accelerated, answering, host) as client:
        result = await client.call_tool("up__sample", {})

    assert "a dream" in first_text(result)
    assert [params.max_tokens for params in answering.asked] == [10]


@cells("roots")
async def test_roots(client_era: str, upstream_era: str, accelerated: bool) -> None:
    upstream, host, answering = Asking(upstream_era), FakeHost(), Answering()

    async with cell(upstream, client_era, accelerated, answering, host) as client:
        result = await client.call_tool("up__roots", {})

    assert "file:///tmp" in first_text(result)
    assert answering.asked == ["roots"]


@cells("log")
async def test_log(client_era: str, upstream_era: str, accelerated: bool) -> None:
    """From the level on that the client said."""
    upstream, host, answering = Asking(upstream_era), FakeHost(), Answering()

    async with cell(upstream, client_era, accelerated, answering, host) as client:
        if client_era == "legacy":
            await client.session.send_request(
                types.SetLevelRequest(params=types.SetLevelRequestParams(level="warning")),
                types.EmptyResult,
            )
            await client.call_tool("up__log", {})
        else:
            meta: Any = {"io.modelcontextprotocol/logLevel": "warning"}
            await client.call_tool("up__log", {}, meta=meta)

        with anyio.fail_after(10):
            while not answering.logged:
                await anyio.sleep(0.005)

    assert answering.logged == [("error", {"said": "error"}, "up")]


@pytest.mark.parametrize("client_era", ERAS)
@pytest.mark.parametrize("upstream_era", ERAS)
async def test_two_questions(client_era: str, upstream_era: str) -> None:
    """One after the other in one call."""
    upstream, host, answering = Asking(upstream_era), FakeHost(), Answering()

    async with cell(upstream, client_era, True, answering, host) as client:
        await client.call_tool("up__twice", {})

    assert len(answering.asked) == 2
    assert upstream.calls == ["twice"]


def test_the_table_knows_its_features() -> None:
    assert {feature for feature, _, _ in NOT_APPLICABLE} <= set(FEATURES)
