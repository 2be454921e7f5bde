"""What happens at the edges of the surface: draining, limits, defects, other modules' answers."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.eras import for_wire, written
from spindle_mcp.surface.shelf import listeners, views
from spindle_mcp.surface.walks import lease
from spindle_spi.admission import Status
from spindle_spi.errors import GatewayError, Internal, PermissionDenied
from spindle_spi.records import CatalogRecord, Kind, ToolSpec, Visibility
from tests.mcp.support.clients import ERAS, connected, error_of, first_text, names, text_of
from tests.mcp.support.other import Other
from tests.mcp.support.records import demo_host, gateway, logged, server, tool_record
from tests.mcp.support.serving import serving
from tests.mcp.support.upstream import OBJECT, Scripted, scripted

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

eras = pytest.mark.parametrize("era", ERAS)
CALLERS = {"a": caller("a")}


def others_host() -> FakeHost:
    host = FakeHost()
    host.owners["other"] = Other()
    host.records.add(
        *(
            CatalogRecord(
                id=name,
                kind=Kind.TOOL,
                name=name,
                module="other",
                visibility=Visibility.PUBLIC,
                spec=ToolSpec(model="m", title="T", output_schema={"type": "object"}),
            )
            for name in ("asks", "breaks", "works")
        )
    )
    return host


@eras
@pytest.mark.parametrize("accelerated", [True, False])
async def test_a_defect_is_logged_and_its_client_told_nothing_of_it(
    era: str, accelerated: bool
) -> None:
    """Neither by code nor by words."""
    host = others_host()

    async with (
        serving(host, CALLERS, config={"accelerated": accelerated}) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        error = await error_of(client, "breaks", {})
        asked = await error_of(client, "asks", {})
        assert await text_of(client, "works", {}) == "done"

    assert error.code == -32603
    assert "secret" not in f"{error.message}{error.data}"
    assert asked.data["requiredCapabilities"] == {"roots": {}}
    (failure,) = logged(host, "mcp.request.failed")
    assert failure["detail"] == "a secret of ours"


@eras
async def test_progress_of_another_modules_tool_is_relayed(era: str) -> None:
    """And keeps the call's lease alive where it has one."""
    host, heard = others_host(), list[float]()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    async with (
        serving(host, CALLERS, config={"accelerated": False}) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        result = await client.call_tool("works", {}, progress_callback=hear)

    assert first_text(result) == "done"
    assert heard == [1.0]


async def test_progress_renews_the_lease_of_a_long_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is over more than once, and the call is not taken for lost."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1e-6)
    host, heard, passed = FakeHost(), list[float](), list[float]()
    host.clock = lambda: sum(passed)

    async def pass_time() -> None:
        with anyio.fail_after(5):
            while len(heard) < len(passed):
                await anyio.lowlevel.checkpoint()

        passed.append(0.6e-6)

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    tools: list[JsonObject] = [{"name": "steps", "inputSchema": OBJECT}]

    async with scripted(Scripted(tools=tools, before_step=pass_time)) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=1, config={"accelerated": False}) as served,
            connected(served.endpoint(), era="legacy") as client,
        ):
            await client.call_tool("up__steps", {}, progress_callback=hear)

    assert len(passed) == 2
    assert host.outcome.status is Status.OK
    assert not host.open_leases


@eras
async def test_draining_ends_what_only_waits_and_lets_calls_finish(era: str) -> None:
    """The streams that wait for news would never end by themselves."""
    host = demo_host()
    results: list[str] = []

    async with (
        serving(host, CALLERS, wait_for=4) as served,
        connected(served.endpoint(), era=era) as client,
        anyio.create_task_group() as group,
    ):
        if era != "legacy":

            async def listen() -> None:
                async with client.listen(tools_list_changed=True) as stream:
                    async for _ in stream:
                        pass

            group.start_soon(listen)

        async def call() -> None:
            result = await client.call_tool("demo__slow", {"steps": 1, "delay": 0.3})
            results.append(first_text(result))

        group.start_soon(call)

        with anyio.fail_after(5):
            while (await served.module.stats())["in_flight"] != 1:
                await anyio.lowlevel.checkpoint()

            await served.module.drain(time.monotonic() + 5)

        stats = await served.module.stats()
        assert (stats["in_flight"], stats["streams"]) == (0, 0)

    assert results == ["1 steps done"]


async def test_a_drain_of_a_module_that_never_ran_is_over_at_once() -> None:
    """There is nothing to wait for."""
    from spindle_mcp import McpModule

    await McpModule().drain(time.monotonic())
    assert (await McpModule().stats())["gateways"] == {}


async def test_subscriptions_and_views_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused, or takes the place of the oldest."""
    monkeypatch.setattr(listeners, "_MAX_STREAMS", 0)
    monkeypatch.setattr(views, "_MAX_VIEWS", 1)
    monkeypatch.setattr(views, "_MAX_SHOWN", 1)
    host = demo_host()
    host.records.add(server("one", tools=("demo__add",)), server("two", tools=("demo__echo",)))

    async with serving(host, CALLERS, wait_for=4) as served:
        for slug, expected in (("one", ["demo__add"]), ("two", ["demo__echo"])) * 2:
            async with connected(served.endpoint(slug)) as client:
                assert await names(client) == expected

        async with connected(served.endpoint()) as client:
            with pytest.raises(Exception, match="Too many open subscriptions"):
                async with client.listen(tools_list_changed=True):
                    pass


async def test_a_server_whose_record_may_not_be_read_shows_full_names() -> None:
    """Its instructions and its wish for no prefix stand in the record."""
    host = demo_host()
    host.records.add(server("bare", gateways=("demo",), prefix_free=True, instructions="?"))
    host.refuse("fetch", PermissionDenied("This token may not read servers."))

    async with (
        serving(host, CALLERS, wait_for=4) as served,
        connected(served.endpoint("bare")) as client,
    ):
        assert (await names(client))[0] == "demo__add"
        assert client.session.instructions is None


async def test_a_cursor_is_refused_there_is_one_page() -> None:
    """It cannot be ours."""
    meta: dict[str, Any] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"cursor": "x", "_meta": meta}
    headers = {
        "authorization": "Bearer a",
        "accept": "*/*",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/list",
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}

    async with serving(demo_host(), CALLERS) as served, httpx2.AsyncClient() as http:
        answer = await http.post(served.endpoint(), json=body, headers=headers)

    assert answer.status_code == 400
    assert answer.json()["error"] == {"code": -32602, "message": "Invalid cursor"}


async def test_a_call_nobody_may_settle_twice_is_left_to_the_core() -> None:
    """When its lease ended first, the core has settled it."""
    host = demo_host()

    async with (
        serving(host, CALLERS, wait_for=4) as served,
        connected(served.endpoint()) as client,
        anyio.create_task_group() as group,
    ):

        async def call() -> None:
            await client.call_tool("demo__slow", {"steps": 1, "delay": 30})

        group.start_soon(call)

        with anyio.fail_after(5):
            while not host.open_permits:
                await anyio.lowlevel.checkpoint()

        (permit,) = host.open_permits
        host.end_lease(permit.lease_id)
        group.cancel_scope.cancel()

    assert host.outcome.status is Status.LOST
    assert not logged(host, "mcp.request.failed")


async def test_a_tool_whose_gateway_is_not_connected_is_unavailable() -> None:
    """The core refuses one without a record, this module one it holds no connection of."""
    host = demo_host()

    async with (
        serving(host, CALLERS, wait_for=4) as served,
        connected(served.endpoint()) as client,
    ):
        record = tool_record(host, "demo__echo")
        host.records.add(
            replace(gateway("elsewhere"), module="other"),
            replace(record, id="t1", name="t1", spec=ToolSpec(gateway="elsewhere")),
            replace(record, id="t2", name="t2", spec=ToolSpec(gateway="gone")),
            replace(record, id="t3", name="t3", spec=ToolSpec(gateway="")),
        )
        assert (await error_of(client, "t1", {})).data["code"] == "mcp.gateway.down"
        assert (await error_of(client, "t2", {})).data["code"] == "core.backend.missing"


def test_a_result_is_written_as_the_version_has_it() -> None:
    """What it cannot say is a defect here, not a riddle for the client."""
    result: Any = {"content": [{"type": "text", "text": "x", "annotations": {"priority": 1}}]}
    assert written("2026-07-28", for_wire("2026-07-28", result))["resultType"] == "complete"
    assert written("2025-11-25", for_wire("2025-11-25", result)) == {
        "content": [{"type": "text", "text": "x", "annotations": {"priority": 1.0}}]
    }

    with pytest.raises(Internal):
        written("2025-11-25", {"content": [{"type": "text", "text": 7}]})

    assert issubclass(Internal, GatewayError)
