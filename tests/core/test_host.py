"""The host in one process: modules come up, fall down, come back and go."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest
import structlog

from spindle.host import StartFailed
from spindle.lifecycle import Timings, describe
from spindle_spi.context import AuthenticatedContext, Subject, TraceContext, VisibilityScope
from spindle_spi.invocation import Complete, Invocation
from spindle_spi.module import Health, HealthState, Module
from spindle_spi.records import Kind, Target
from tests.core.host_rig import rig
from tests.support.sample_modules import (
    BadStarter,
    Degraded,
    EarlyLeaver,
    NeverReady,
    Quiet,
    Sample,
    SlowDrainer,
    Unyielding,
    descriptor,
)

if TYPE_CHECKING:
    from pathlib import Path

    from spindle_spi.descriptor import ModuleDescriptor
    from spindle_spi.invocation import ProgressSink, Result
    from spindle_spi.module import ModuleContext, Started

CONTEXT = AuthenticatedContext(
    subject=Subject(is_admin=True, token_teams=None),
    visibility_scope=VisibilityScope(permissions=("*",)),
    trace=TraceContext(request_id="req_1"),
)


async def nothing() -> None:
    """Serve nobody."""


async def unreached() -> None:
    raise NotImplementedError


async def test_modules_are_ready_before_anybody_is_served(tmp_path: Path) -> None:
    """With their own section of the configuration, and known as owners; gone afterwards."""
    async with rig(tmp_path, Sample, Quiet) as it:
        seen: list[str] = []

        async def serve() -> None:
            answer = await it.ask("GET", "/sample/word")
            ready = await it.ask("GET", "/ready")
            seen.extend((answer.body.decode(), ready.body.decode(), *it.core.owners))

        await it.run(serve)

    ready = '{"status":"ready","modules":{"sample":"ready","quiet":"ready"},"store":"ready"}'
    assert seen == ["hello sample", ready, "sample", "quiet"]
    assert it.endings == []


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (NeverReady, "did not become ready within 0.3 seconds (phase initialize)"),
        (EarlyLeaver, "returned from run before shutdown (phase initialize)"),
        (BadStarter, "OSError: the disk is gone (phase initialize)"),
    ],
)
async def test_a_module_that_does_not_start_fails_the_start(
    tmp_path: Path, kind: type[Module], words: str
) -> None:
    """The fault names module, distribution and phase, and nobody is served."""
    async with rig(tmp_path, Sample, kind) as it:
        with pytest.raises(StartFailed) as failed:
            await it.run(unreached)

    assert failed.value.faults == (f"module quiet (samples 1.2): {words}",)
    assert it.endings == []


async def test_every_module_that_does_not_start_is_named(tmp_path: Path) -> None:
    """Not only the first."""

    class Other(BadStarter):
        @property
        def descriptor(self) -> ModuleDescriptor:
            return descriptor("other", capabilities={})

    async with rig(tmp_path, NeverReady, Other) as it:
        with pytest.raises(StartFailed) as failed:
            await it.run(unreached)

    assert [fault.split()[1] for fault in failed.value.faults] == ["quiet", "other"]


async def test_a_module_that_resists_its_cancellation_ends_the_process(tmp_path: Path) -> None:
    """The start fails in time all the same; the process is ended because the module stays."""
    released = anyio.Event()

    class Resisting(Unyielding):
        async def run(self, context: ModuleContext, started: Started) -> None:
            with anyio.CancelScope(shield=True):
                await released.wait()

    async with rig(tmp_path, Resisting) as it:
        it.host.options.end_process("")

        async with anyio.create_task_group() as group:

            async def run() -> None:
                with pytest.raises(StartFailed, match=r"within 0\.3 seconds \(phase initialize\)"):
                    await it.run(unreached)

            group.start_soon(run)

            with anyio.fail_after(10):
                while len(it.endings) < 2:
                    await anyio.sleep(0.01)

            released.set()

    assert "did not shut down within 0.3 seconds (phase shutdown)" in it.endings[1]


async def test_a_module_that_fails_later_comes_back_as_a_new_instance(tmp_path: Path) -> None:
    """Meanwhile its routes answer 503 in their own shape, and the others live on."""

    class Fragile(Sample):
        instances: list[Fragile] = []

        def __init__(self) -> None:
            super().__init__()
            self.instances.append(self)

    async with rig(tmp_path, Fragile, Quiet) as it:

        async def serve() -> None:
            first = Fragile.instances[0]
            first.broken.set()

            while (answer := await it.ask("GET", "/sample/word")).status == 200:
                await anyio.lowlevel.checkpoint()

            assert answer.status == 503
            assert json.loads(answer.body)["error"]["code"] == "core.module_unavailable"
            assert (await it.ask("GET", "/health")).status == 200
            states = await it.host.module_states()
            assert states == {"sample": HealthState.FAILED, "quiet": HealthState.READY}
            assert list(it.core.owners) == ["quiet"]

            while (answer := await it.ask("GET", "/sample/word")).status == 503:
                await anyio.sleep(0.001)

            assert answer.body == b"hello sample"
            assert it.core.owners["sample"] is Fragile.instances[-1]
            assert it.core.owners["sample"] is not first

        with structlog.testing.capture_logs() as logs:
            await it.run(serve)

    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["module failed"]


async def test_a_module_that_cannot_come_back_stays_down(tmp_path: Path) -> None:
    """A second instance that breaks its promises gets no routes; it is tried again."""

    class Unlucky(Quiet):
        built = 0
        broken = anyio.Event()

        def __init__(self) -> None:
            type(self).built += 1

        @property
        def descriptor(self) -> ModuleDescriptor:
            return descriptor("quiet", capabilities={"magic": True} if self.built > 1 else {})

        async def run(self, context: ModuleContext, started: Started) -> None:
            started()
            await self.broken.wait()

    async with rig(tmp_path, Unlucky) as it:

        async def serve() -> None:
            Unlucky.broken.set()

            while Unlucky.built < 4:
                await anyio.sleep(0.001)

            assert await it.host.module_states() == {"quiet": HealthState.FAILED}

        with structlog.testing.capture_logs() as logs:
            await it.run(serve)

    assert any("magic" in str(line.get("reason")) for line in logs)


@pytest.mark.parametrize("failure", [RuntimeError("late"), SystemExit(7)])
async def test_spawned_work_belongs_to_its_module(tmp_path: Path, failure: BaseException) -> None:
    """Its failure is the module's, whatever it raises; its success is nobody's business."""
    fail = anyio.Event()
    done = anyio.Event()

    class Spawner(Quiet):
        async def run(self, context: ModuleContext, started: Started) -> None:
            async def work() -> None:
                done.set()

            async def fail_later() -> None:
                await fail.wait()
                raise failure

            context.spawn("work", work)
            context.spawn("failing", fail_later)
            started()
            await anyio.sleep_forever()

    async with rig(tmp_path, Spawner, timings=Timings(first_backoff=60)) as it:

        async def serve() -> None:
            await done.wait()
            fail.set()

            while (await it.host.module_states())["quiet"] is not HealthState.FAILED:
                await anyio.sleep(0.001)

        with structlog.testing.capture_logs() as logs:
            await it.run(serve)

    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert line["reason"] in (
        "RuntimeError: late",
        "tried to end the process (in failing)",
    )


async def test_saying_started_twice_is_a_failure(tmp_path: Path) -> None:
    """The second time could only be a mistake."""

    class Twice(Quiet):
        async def run(self, context: ModuleContext, started: Started) -> None:
            started()
            started()

    async with rig(tmp_path, Twice, timings=Timings(first_backoff=60)) as it:

        async def serve() -> None:
            while (await it.host.module_states())["quiet"] is not HealthState.FAILED:
                await anyio.sleep(0.001)

        with structlog.testing.capture_logs() as logs:
            await it.run(serve)

    assert "called started twice" in logs[-1]["reason"]


async def test_a_modules_own_word_on_its_health_counts(tmp_path: Path) -> None:
    """Degraded is said, and a health check that fails or hangs is a failure."""

    class Failing(Quiet):
        @property
        def descriptor(self) -> ModuleDescriptor:
            return descriptor("failing", capabilities={})

        async def health(self) -> Health:
            raise RuntimeError("nobody knows")

    async with rig(tmp_path, Degraded, Failing) as it:

        async def serve() -> None:
            assert await it.host.module_states() == {
                "quiet": HealthState.DEGRADED,
                "failing": HealthState.FAILED,
            }

        with structlog.testing.capture_logs():
            await it.run(serve)


async def test_draining_is_bounded_whatever_a_module_does(tmp_path: Path) -> None:
    """One that never finishes and one that fails hold nobody up."""

    class Failing(Quiet):
        @property
        def descriptor(self) -> ModuleDescriptor:
            return descriptor("failing", capabilities={})

        async def drain(self, deadline: float) -> None:
            raise RuntimeError("cannot drain")

    async with rig(tmp_path, SlowDrainer, Failing, Sample) as it:

        async def serve() -> None:
            await it.host.drain(0.1)
            assert set((await it.host.module_states()).values()) == {HealthState.DRAINING}
            assert (await it.ask("GET", "/sample/word")).status == 503

        with structlog.testing.capture_logs() as logs:
            await it.run(serve)

    assert {line["event"] for line in logs} >= {"drain failed", "drain not finished in time"}


async def test_calls_over_the_loopback_transport_are_counted(tmp_path: Path) -> None:
    """Both directions: the services a module uses, and the module as an owner."""
    done = anyio.Event()

    class Asker(Quiet):
        async def run(self, context: ModuleContext, started: Started) -> None:
            await context.services.catalog.owned("quiet", Kind.TOOL)
            await context.services.catalog.owned("quiet", Kind.MODEL)
            started()
            done.set()
            await anyio.sleep_forever()

        async def invoke(
            self,
            context: AuthenticatedContext,
            invocation: Invocation,
            progress: ProgressSink | None = None,
        ) -> Result:
            return Complete(payload=invocation.arguments)

    async with rig(tmp_path, Asker, is_loopback=True) as it:

        async def serve() -> None:
            await done.wait()
            invocation = Invocation(target=Target(kind=Kind.TOOL, name="t"), arguments={"a": 1})
            call_owner = it.core.invoker.call_owner
            result = await call_owner(it.core.owners["quiet"], CONTEXT, invocation, None)
            assert result == Complete(payload={"a": 1})

            for _ in range(2):
                text = it.host.render_metrics().decode()
                assert 'spindle_spi_calls_total{operation="owned",service="catalog"} 2' in text
                assert 'spindle_spi_calls_total{operation="invoke",service="module"} 1' in text

        await it.run(serve)


async def test_nothing_is_counted_over_the_direct_transport(tmp_path: Path) -> None:
    """There are no such calls then."""
    async with rig(tmp_path, Quiet) as it:

        async def serve() -> None:
            assert "spindle_spi_calls_total" not in it.host.render_metrics().decode()
            assert "spindle_http_requests_active 0" in it.host.render_metrics().decode()

        await it.run(serve)


async def test_the_core_is_closed_whatever_happens(tmp_path: Path) -> None:
    """Also when serving itself fails: what was pending is written."""
    async with rig(tmp_path, Quiet) as it:
        closed: list[bool] = []
        close = it.core.close

        async def note() -> None:
            closed.append(True)
            await close()

        it.core.close = note  # type: ignore[method-assign]

        async def fail() -> None:
            raise RuntimeError("no socket")

        with pytest.raises(ExceptionGroup):
            await it.run(fail)

    assert closed == [True]


def test_an_error_is_described_in_one_line() -> None:
    """Groups by their members, each once; an error without words by its type."""
    group = ExceptionGroup("g", [ValueError("a\nb"), ValueError("a b"), TypeError()])
    assert describe(group) == "ValueError: a b; TypeError"
