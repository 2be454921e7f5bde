from __future__ import annotations

from typing import Any

import anyio
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.upstream.connections.base import Endpoint
from spindle_mcp.upstream.connections.legacy import open_legacy
from spindle_mcp.upstream.faults import Unreachable
from spindle_spi import config_secrets
from spindle_spi.admission import Limits, Status
from spindle_spi.errors import UpstreamTimeout
from spindle_spi.secret import SecretRef
from tests.mcp.support.clients import ERAS, connected, error_of, names, text_of
from tests.mcp.support.records import gateway, has_tool, logged
from tests.mcp.support.requests import tool_call
from tests.mcp.support.serving import listening, serving
from tests.mcp.support.upstream import Handshaking, Scripted

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a")}
eras = pytest.mark.parametrize("era", ERAS)


async def until(condition: Any) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1].partition("/")[0])


@eras
async def test_an_older_upstream_is_recognised_and_used(era: str) -> None:
    """It refuses the question what it is, so it is greeted in the older way."""
    host, upstream = FakeHost(secrets={"k": "upstream-key"}), Handshaking()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, credential=SecretRef(name="k")))

        async with (
            serving(host, CALLERS, wait_for=4) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            assert await names(client) == ["up__echo", "up__fail", "up__hang", "up__steps"]
            assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"
            stats: Any = await served.module.stats()

    assert stats["gateways"]["up"]["era"] == "legacy"
    assert {headers.get("authorization") for headers in upstream.headers} == {"Bearer upstream-key"}


@eras
async def test_progress_of_an_older_upstream_is_relayed(era: str) -> None:
    """In order, with its words."""
    host, heard = FakeHost(), list[tuple[float, str | None]]()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    async with Handshaking().running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=4) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            await client.call_tool("up__steps", {}, progress_callback=hear)

    assert sorted(heard) == [(1.0, "step 1.0"), (2.0, "step 2.0")]


@eras
async def test_a_cancelled_call_is_cancelled_at_an_older_upstream(era: str) -> None:
    """By its own notification."""
    host, upstream = FakeHost(), Handshaking()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=4) as served,
            connected(served.endpoint(), era=era) as client,
            anyio.create_task_group() as group,
        ):

            async def ask() -> None:
                await client.call_tool("up__hang", {})

            group.start_soon(ask)

            with anyio.fail_after(5):
                await upstream.reached.wait()

            group.cancel_scope.cancel()

            with anyio.fail_after(5, shield=True):
                await upstream.cancelled.wait()

    assert host.journal.settled[0].outcome.status is Status.CANCELLED


async def test_an_older_upstreams_error_shows_nothing_of_it() -> None:
    """The gateway is named, what it said is not; silence ends in time."""
    host = FakeHost()
    host.limits = Limits(timeout=0.3)

    async with Handshaking().running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=4) as served,
            connected(served.endpoint()) as client,
        ):
            failed = await error_of(client, "up__fail", {})
            slow = await error_of(client, "up__hang", {})
            assert await text_of(client, "up__echo", {"text": "next"}) == "next"

    assert failed.data["code"] == "mcp.upstream.protocol_error"
    assert "secret" not in failed.message
    assert slow.data["code"] == "upstream_timeout"


async def test_a_lost_session_is_opened_anew_and_the_call_made_once_more() -> None:
    """The upstream restarted and knows no session; it had done nothing with the call."""
    host, upstream = FakeHost(), Handshaking()

    async with upstream.running() as url:
        port = port_of(url)

    host.records.add(gateway("up", url=url, era="legacy"))

    async with serving(host, CALLERS) as served:
        async with upstream.running(port=port):
            await until(lambda: has_tool(host, "up__echo"))

        async with (
            upstream.running(port=port),
            connected(served.endpoint()) as client,
        ):
            assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"


async def test_a_broken_connection_fails_one_call_not_the_session() -> None:
    """What else is in flight over the session is answered."""
    upstream = Handshaking(is_legacy_only=False)

    async with upstream.running() as url:
        endpoint = Endpoint(gateway="up", url=url, version="1", connect_seconds=5)

        async with open_legacy(endpoint) as connection:
            assert len(await connection.list_all("tools/list", "tools")) == 4
            cut = tool_call("echo", {"text": "cut-me"}, silence=5)
            good = tool_call("echo", {"text": "hi"}, silence=5)
            hang = tool_call("hang", silence=0.5)

            async with anyio.create_task_group() as group:

                async def ask() -> None:
                    with pytest.raises(UpstreamTimeout):
                        await connection.request(hang)

                group.start_soon(ask)

                with pytest.raises(Unreachable):
                    await connection.request(cut)

                assert await connection.request(good)


async def test_nothing_listening_is_unreachable_and_a_web_page_is_no_upstream() -> None:
    """Each is a clear failure, in time."""
    gone = Endpoint(gateway="up", url="http://127.0.0.1:1/mcp", version="1", connect_seconds=2)

    with pytest.raises(ExceptionGroup) as raised:
        async with open_legacy(gone):
            pass

    assert raised.group_contains(Unreachable, depth=2)

    async with listening(Scripted(is_broken=True)) as url:
        page = Endpoint(gateway="up", url=url, version="1", connect_seconds=2)

        with pytest.raises(ExceptionGroup):
            async with open_legacy(page):
                pass


async def test_another_credential_takes_another_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the lease of the first ends: a session belongs to whoever opened it."""
    monkeypatch.setattr(config_secrets, "LEASE_SECONDS", 0.05)
    host, upstream = FakeHost(secrets={"k": "first"}), Handshaking()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, credential=SecretRef(name="k")))

        async with serving(host, CALLERS, wait_for=4):
            host.secrets["k"] = "second"

            await until(lambda: len(logged(host, "mcp.gateway.connected")) >= 2)

    assert upstream.headers[-1].get("authorization") == "Bearer second"
