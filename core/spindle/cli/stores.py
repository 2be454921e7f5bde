"""Commands that work on the store directly: no gateway needs to run."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar

import anyio
import structlog

from spindle.cli.failures import Failure
from spindle.config import Settings, load_settings
from spindle.loader import GROUP
from spindle.store import Store
from spindle_spi.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle.home import Sources

T = TypeVar("T")


def settings_of(sources: Sources) -> Settings:
    """Return the settings without importing modules: their sections are taken as they are.

    Raises:
        ConfigError: The configuration is wrong.
    """
    return load_settings(
        sources.config,
        home=sources.home,
        environ=sources.environ,
        overrides=sources.overrides,
        schemas={entry.name: {} for entry in entry_points(group=GROUP)},
    )


def on_store(sources: Sources, work: Callable[[Store, Settings], Awaitable[T]]) -> T:
    """Run work on the store.

    Raises:
        ConfigError: The configuration is wrong, or the store cannot be opened.
        Failure: The work was refused.
    """
    if not structlog.is_configured():
        # Standard output is the command's answer.
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))

    settings = settings_of(sources)

    async def run() -> T:
        store = await Store.open(settings.store_url)

        try:
            return await work(store, settings)
        finally:
            await store.close()

    try:
        return anyio.run(run)
    except GatewayError as exc:
        raise Failure(exc.message) from exc
