"""Reading the configuration again: all of it or nothing, and what needs a restart is named."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle.config import load_settings
from spindle.core import Core
from spindle.gateway import check_log_file
from spindle.reload import Part, Put, Reloader
from spindle.store.outage import StoreUnavailable
from spindle_spi.errors import ConfigError, FailedPrecondition, RateLimited
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from spindle_spi.secret import SecretRef
from tests.core.heart import Heart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle.config import Settings
    from spindle_spi.types import JsonObject

BEFORE: dict[str, object] = {
    "llm": {"services": {"up": {"provider_type": "openai", "urls": ["http://127.0.0.1:9/v1"]}}}
}


@dataclass(slots=True)
class Bench:
    """A core over a file that can be written anew."""

    core: Core
    path: Path

    def write(self, **sections: object) -> None:
        self.path.write_text(json.dumps({**BEFORE, **sections}))

    @property
    def reloader(self) -> Reloader:
        return self.core.reloader

    def names(self, kind: Kind) -> set[str]:
        return {record.name for record in self.core.snapshots.current.by_kind[kind]}


@asynccontextmanager
async def opened(home: Path) -> AsyncGenerator[Bench]:
    path = home / "spindle.yaml"
    path.write_text(json.dumps(BEFORE))

    def load() -> Settings:
        schemas: dict[str, JsonObject] = {"llm": {}, "mcp": {}}
        return load_settings(path, home=home, environ={}, schemas=schemas)

    core = await Core.open(load())
    core.reloader.load = load

    try:
        yield Bench(core, path)
    finally:
        await core.close()


SERVICE = {"provider_type": "openai", "urls": ["http://127.0.0.1:9/v1"]}


async def test_what_did_not_change_is_not_named(tmp_path: Path) -> None:
    """The same file: nothing in force, nothing waiting, no revision."""
    async with opened(tmp_path) as bench:
        revision = await bench.core.store.revision()
        done = await bench.reloader.reload()
        assert (done.applied, done.needs_restart) == ((), ())
        assert await bench.core.store.revision() == revision


async def test_what_can_change_changes_and_the_rest_is_named(tmp_path: Path) -> None:
    """Records, limits, features, secrets, plugins at once; of others every key."""
    async with opened(tmp_path) as bench:
        caller = await Heart(bench.core).caller("red")
        bench.write(
            llm={
                "services": {
                    "new": {
                        **SERVICE,
                        "api_key_env_var": "NOWHERE_SET",
                        "models": [{"name": "m"}],
                    }
                },
                "word": 1,
            },
            limits={"requests_per_minute": 1},
            features={"f": True},
            plugins={"entries": [{"name": "p", "plugin": "pii"}]},
            server={"port": 9999, "drain_seconds": 3},
            store={"revision_poll_seconds": 9},
        )
        done = await bench.reloader.reload()
        assert set(done.applied) >= {
            "features",
            "limits.requests_per_minute",
            "plugins.entries",
            "records",
            "secrets",
        }
        assert done.needs_restart == (
            "llm.word",
            "server.drain_seconds",
            "server.port",
            "store.revision_poll_seconds",
        )
        assert "new" in bench.names(Kind.PROVIDER)
        assert "up" not in bench.names(Kind.PROVIDER)
        assert bench.core.features == {"f": True}
        assert [active.name for active in bench.core.plugins.current.active] == ["p"]
        assert bench.reloader.current.limits.requests_per_minute == 1
        assert bench.reloader.current.server.port == 8080

        (name,) = bench.reloader.current.secret_sources

        with pytest.raises(FailedPrecondition, match="NOWHERE_SET"):
            bench.core.secrets.resolve(SecretRef(name=name))

        target = Target(kind=Kind.MODEL, name="new~m")
        bench.core.admission.admit(caller, target, Action.EXECUTE)

        with pytest.raises(RateLimited):
            bench.core.admission.admit(caller, target, Action.EXECUTE)

        # Said again as long as it waits, while what is in force is not.
        assert (await bench.reloader.reload()).applied == ()
        assert "server.port" in (await bench.reloader.reload()).needs_restart


async def test_a_faulty_file_changes_nothing_and_says_every_fault(tmp_path: Path) -> None:
    """Of the file itself, and of parts that build something of it."""
    async with opened(tmp_path) as bench:
        before = bench.core.snapshots.current
        bench.write(limits={"requests_per_minute": -1}, srever={}, features={"f": True})

        with pytest.raises(ConfigError) as caught:
            await bench.reloader.reload()

        assert len(caught.value.faults) == 2
        bench.write(
            features={"f": True},
            plugins={"entries": [{"plugin": "nosuch"}, {"plugin": "norsuch", "name": "b"}]},
        )

        with pytest.raises(ConfigError) as caught:
            await bench.reloader.reload()

        assert len(caught.value.faults) == 2
        assert bench.core.features == {}
        assert bench.core.snapshots.current is before
        # A signal has nobody to answer to: the log says it, and the process lives.
        await bench.reloader.try_reload()
        bench.reloader.load = None
        await bench.reloader.try_reload()

        with pytest.raises(FailedPrecondition):
            await bench.reloader.reload()


async def test_without_the_store_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records are written first; what follows them waits for that."""

    async def fail(*_: object) -> int:
        raise StoreUnavailable("away")

    async with opened(tmp_path) as bench:
        bench.write(features={"f": True})

        with monkeypatch.context() as patch:
            patch.setattr(bench.core.store.catalog, "replace", fail)

            with pytest.raises(StoreUnavailable):
                await bench.reloader.reload()

            assert bench.core.features == {}

        # Gone right after the write: everything else is put, the records follow.
        with monkeypatch.context() as patch:
            patch.setattr(bench.core.store, "revision", fail)
            await bench.reloader.reload()

        assert bench.core.features == {"f": True}


async def test_two_reloads_take_turns(tmp_path: Path) -> None:
    """The second reads the file after the first has put its own in force."""
    async with opened(tmp_path) as bench:
        order: list[str] = []

        def prepare(settings: Settings) -> Put:
            del settings
            order.append("prepared")
            return lambda: order.append("put")

        bench.reloader.parts.append(Part(frozenset(), prepare))

        async with anyio.create_task_group() as group:
            group.start_soon(bench.reloader.reload)
            group.start_soon(bench.reloader.reload)

        assert order == ["prepared", "put"] * 2


def test_a_log_file_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    """Found before anything is put in force."""
    check_log_file(tmp_path / "logs" / "a.log")

    with pytest.raises(ConfigError, match=r"logging\.main\.file"):
        check_log_file(tmp_path)
