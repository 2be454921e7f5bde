"""`spindle serve`."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio

from spindle.cli.examples import example_commands
from spindle.cli.failures import fail, reported
from spindle.gateway import make_plan, run_gateway
from spindle.server import Listener, Stop, bind, watch_signals
from spindle.telemetry.logs import configure_logging

if TYPE_CHECKING:
    from spindle.gateway import Plan, Running
    from spindle.home import Sources

LOOP: Final = {"use_uvloop": sys.platform != "win32"}


_COLLECT_AFTER = (10_000, 5, 5)
"""Objects made before the young ones are looked through; the interpreter's own figure is 700.

The old ones come oftener than by its own figures: a session that has ended waits among them.
"""


def serve(sources: Sources) -> None:
    """Run a gateway until a signal asks it to end."""
    is_orderly = True

    with reported():
        sources.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        plan = make_plan(sources)
        settings = plan.settings
        configure_logging(settings.logging.main, home=settings.home)
        listener = bind(settings.server.host, settings.server.port)
        is_orderly = anyio.run(_serve, plan, listener, backend_options=LOOP)

    if not is_orderly:
        fail("Ended in haste: requests in flight were cut.")


async def _serve(plan: Plan, listener: Listener) -> bool:
    """Serve until a signal; tell whether the end was given its time."""
    stop = Stop()

    async with anyio.create_task_group() as group:
        group.start_soon(watch_signals, stop)
        await run_gateway(plan, listener, stop, _announce)
        group.cancel_scope.cancel()

    return not stop.insisted.is_set()


def _announce(running: Running) -> None:
    # What stands now stays: the collector need not walk through it again and again.
    gc.freeze()
    # A request leaves few cycles behind, and makes hundreds of objects: look less often.
    gc.set_threshold(*_COLLECT_AFTER)
    gc.enable()
    administrator = running.administrator
    shows_token = administrator.is_new and sys.stdout.isatty()
    lines = [f"Spindle is listening on {running.url}"]

    for title, command in example_commands(running, shows_token=shows_token):
        lines += ["", title, f"  {command}"]

    if shows_token:
        lines += ["", f"The token is kept in {administrator.path}; it is not shown again."]

    # Whoever only wanted the first line may have closed the pipe by now.
    with suppress(BrokenPipeError):
        print("\n".join(lines), flush=True)
