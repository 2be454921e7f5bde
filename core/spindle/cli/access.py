"""How a module's command reaches a gateway: the one it is told, the one that runs, or its own.

A command finds it as `ctx.obj`. It says nothing about any protocol.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from spindle.cli.failures import Failure
from spindle.home import ADMIN_TOKEN_FILE, find_running
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from anyio.abc import TaskStatus

    from spindle.gateway import Running
    from spindle.home import Sources
    from spindle.server import Stop
    from spindle_spi.types import Json

_LOCAL = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where a gateway is, and the token to show it."""

    url: str
    token: Secret


class GatewayAccess:
    """Reaches a gateway for one command."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    @property
    def home(self) -> Path:
        """The home directory in force."""
        return self._sources.home

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables the command was started with."""
        return self._sources.environ

    def find(self) -> str | None:
        """Return the address of a gateway that is there; None: `open` would bring one of its own.

        It is that of SPINDLE_URL, or else of the one that holds the home directory.
        """
        url = self._sources.environ.get("SPINDLE_URL") or find_running(self.home)
        return None if url is None else url.rstrip("/")

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Connection]:
        """Give a connection; a gateway of our own runs as long as it is held.

        In this order: SPINDLE_URL, the gateway that holds the home directory, a new one on a
        free port of 127.0.0.1.

        Raises:
            Failure: There is no token to show.
            ConfigError: A gateway of our own cannot start; so also its other failures.
        """
        url = self.find()

        if url is not None:
            yield Connection(url=url, token=self._token())
            return

        # Only here: it is two thirds of what the command imports, for nothing where a gateway runs.
        from spindle.server import Stop

        stop = Stop()

        async with anyio.create_task_group() as group:
            running: Running = await group.start(self._run_own, stop)

            try:
                yield Connection(url=running.url, token=self._token())
            finally:
                stop.ask()

    def _token(self) -> Secret:
        given = self._sources.environ.get("SPINDLE_TOKEN")
        path = self.home / ADMIN_TOKEN_FILE

        if given:
            return Secret(given)

        if not path.exists():
            raise Failure(
                f"There is no token: set SPINDLE_TOKEN (there is no {path} to take it from)."
            )

        return Secret(path.read_text().strip())

    async def _run_own(self, stop: Stop, *, task_status: TaskStatus[Running]) -> None:
        from spindle.gateway import make_plan, run_gateway
        from spindle.server import bind
        from spindle.telemetry.logs import configure_logging

        given = self._sources.overrides.get("server")
        own: Json = {**(given if isinstance(given, dict) else {}), "host": _LOCAL, "port": 0}
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        plan = make_plan(
            replace(self._sources, overrides={**self._sources.overrides, "server": own})
        )
        configure_logging(plan.settings.logging.main, home=self.home)
        await run_gateway(plan, bind(_LOCAL, 0), stop, task_status.started)
