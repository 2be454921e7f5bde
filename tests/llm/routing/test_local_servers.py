"""Servers of local models: looked for where they are by default, found when they come."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle_conformance.fakes import FakeHost
from spindle_conformance.upstreams.server import Ending, Play, ScriptedServer
from spindle_conformance.upstreams.simulators import serving, simulator
from spindle_llm.providers.registry import adapters
from spindle_llm.routing.local_servers import LocalServers, local_places
from spindle_llm.routing.upstreams import Upstreams
from spindle_spi.records import Kind, ProviderSpec
from tests.llm.support.gateway import running, until
from tests.llm.support.records import SPEC, provider

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("001-discovery")]

LOCAL = ("ollama", "lm_studio", "jan", "gpt4all", "localai", "cortexso")
MOCK = provider("mock", spec=ProviderSpec(provider_type="mock"))


@asynccontextmanager
async def _looking(
    host: FakeHost, places: Mapping[str, str], *, wanted: bool | None = None
) -> AsyncGenerator[None]:
    services = host.services_for("llm")
    upstreams = Upstreams(services, adapters())
    local = LocalServers(services, upstreams, places, interval=0.01)

    async def run() -> None:
        await local.run(wanted=wanted)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            yield
            group.cancel_scope.cancel()

    await upstreams.close()


def _found(host: FakeHost) -> dict[str, ProviderSpec]:
    return {
        record.name: record.spec
        for record in host.records
        if record.kind is Kind.PROVIDER
        and record.origin == "llm"
        and isinstance(record.spec, ProviderSpec)
    }


def test_every_local_server_has_its_place() -> None:
    """The default port of each, on this machine."""
    places = local_places(adapters())
    assert set(places) == set(LOCAL)
    assert all("//localhost:" in base or "//127.0.0.1:" in base for base in places.values())


async def test_each_kind_of_server_is_told_from_the_others() -> None:
    """Asked at an address where any of them may be, each adapter finds its own and no other."""
    servers = {kind: simulator(kind) for kind in LOCAL}

    async with AsyncExitStack() as stack:
        places = {
            kind: await stack.enter_async_context(serving(server))
            for kind, server in servers.items()
        }
        host = FakeHost([MOCK])

        async with _looking(host, places):
            await until(lambda: len(_found(host)) == len(LOCAL))

        found = _found(host)
        assert {kind: spec.urls[0] for kind, spec in found.items()} == places
        assert all(spec.enable_discovery for spec in found.values())
        assert all(kind == spec.provider_type for kind, spec in found.items())

        others = {"ollama": "jan", "lm_studio": "ollama", "localai": "gpt4all"}
        others |= {"cortexso": "lm_studio", "gpt4all": "localai"}
        wrong = {kind: places[other] for kind, other in others.items()}
        host = FakeHost([MOCK])

        for server in servers.values():
            server.seen.clear()

        async with _looking(host, wrong):
            await until(lambda: all(len(servers[other].seen) > 4 for other in others.values()))

        assert _found(host) == {}


async def test_a_server_that_comes_later_is_found() -> None:
    """Nobody was there at first: connections are refused, and that is all."""
    async with serving(simulator("ollama")) as url:
        pass

    host = FakeHost([MOCK])
    port = int(url.rpartition(":")[2])

    async with _looking(host, {"ollama": url}), anyio.create_task_group() as group:
        again = anyio.Event()

        def announce(address: str) -> None:
            assert address == url
            again.set()

        group.start_soon(simulator("ollama").serve, port, announce)
        await again.wait()
        await until(lambda: "ollama" in _found(host))
        group.cancel_scope.cancel()

    logged = [line for line in host.journal.logged if line.event == "llm.local_server_found"]
    assert [line.fields for line in logged] == [{"provider": "ollama", "url": url}]


async def test_a_server_that_says_nothing_holds_nobody_up() -> None:
    """It is left, and asked again later."""
    silent = ScriptedServer(handler=lambda _: Play(silent=True, ending=Ending.HANG))

    async with serving(silent) as mute, serving(simulator("jan")) as url:
        host = FakeHost([MOCK])

        async with _looking(host, {"ollama": mute, "jan": url}):
            await until(lambda: "jan" in _found(host))

        assert set(_found(host)) == {"jan"}


@pytest.mark.parametrize(("declared", "wanted"), [(True, None), (True, False), (False, False)])
async def test_nobody_is_asked_who_should_not_be(declared: bool, wanted: bool | None) -> None:
    """Where services are declared, or the operator says no."""
    server = simulator("ollama")

    async with serving(server) as url:
        host = FakeHost([MOCK, *([provider(url=url, spec=SPEC)] if declared else [])])
        services = host.services_for("llm")
        upstreams = Upstreams(services, adapters())
        await LocalServers(services, upstreams, {"ollama": url}).run(wanted=wanted)
        await upstreams.close()

    assert server.seen == []
    assert _found(host) == {}


async def test_a_service_that_is_declared_is_left_alone() -> None:
    """It has the name, and the operator's word."""
    async with serving(simulator("ollama")) as url, serving(simulator("jan")) as other:
        declared = provider("ollama", url=url, spec=ProviderSpec(provider_type="ollama"))
        host = FakeHost([declared])

        async with _looking(host, {"ollama": url, "jan": other}, wanted=True):
            await until(lambda: "jan" in _found(host))

        assert set(_found(host)) == {"jan"}


async def test_the_module_does_not_look_when_it_is_told_so() -> None:
    """The setting is the operator's."""
    host = FakeHost([MOCK])

    with anyio.fail_after(20):
        async with running(host, {"discover_local": False}):
            assert [record.name for record in host.records if record.kind is Kind.PROVIDER] == [
                "mock"
            ]
