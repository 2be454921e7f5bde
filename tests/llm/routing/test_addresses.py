"""Addresses take turns; one that cannot be reached is passed over for a while."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from spindle_conformance.fakes import FakeHost
from spindle_conformance.upstreams.server import Play, ScriptedServer
from spindle_llm.providers.openai_chat import OpenAiChat
from spindle_llm.providers.registry import adapters
from spindle_llm.routing.addresses import COOLDOWN, Addresses
from spindle_llm.routing.upstreams import Upstreams
from spindle_transport.exchange import UpstreamRequest
from tests.llm.support.providers import DEAD, script
from tests.llm.support.records import SPEC, provider

pytestmark = pytest.mark.requirement("001-urls-balance")


def test_they_take_turns() -> None:
    """One after the other."""
    addresses = Addresses(3)
    assert [addresses.next(0.0) for _ in range(6)] == [0, 1, 2, 0, 1, 2]


def test_one_that_was_not_reached_is_passed_over_until_it_has_cooled_down() -> None:
    """Or until it was reached after all."""
    addresses = Addresses(2)
    addresses.failed(0, 0.0)
    assert [addresses.next(1.0) for _ in range(4)] == [1, 1, 1, 1]
    assert {addresses.next(COOLDOWN) for _ in range(4)} == {0, 1}
    addresses.failed(0, 20.0)
    addresses.reached(0)
    assert {addresses.next(21.0) for _ in range(4)} == {0, 1}


def test_when_none_was_reached_it_is_the_one_that_failed_first() -> None:
    """Somebody has to be tried."""
    addresses = Addresses(3)
    addresses.failed(1, 0.0)
    addresses.failed(2, 1.0)
    addresses.failed(0, 2.0)
    assert [addresses.next(3.0) for _ in range(3)] == [1, 1, 1]


@pytest.mark.anyio
async def test_an_upstream_remembers_which_of_its_addresses_was_not_reached() -> None:
    """The next calls do not even try it."""
    server = ScriptedServer(handler=script(Play(body=b"{}")))
    upstreams = Upstreams(FakeHost([]).services_for("llm"), adapters())
    chat = OpenAiChat()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            url = await group.start(_serve, server)
            upstream = await upstreams.get(provider(spec=replace(SPEC, urls=(DEAD, url))))
            request = UpstreamRequest(url="", headers={})
            response = await upstream.open_any(upstream.urls(chat, "m"), request)
            assert response.status == 200
            await response.aclose()
            await upstream.line.release()
            assert {upstream.url(chat, "m") for _ in range(4)} == {f"{url}/v1/chat/completions"}
            await upstreams.close()
            group.cancel_scope.cancel()


async def _serve(
    server: ScriptedServer, *, task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED
) -> None:
    await server.serve(0, task_status.started)
