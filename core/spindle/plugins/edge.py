"""The edge between the host and code of a plugin: whatever a plugin raises becomes one failure.

What an exception says may quote the content, so only its type and where it arose are logged.
"""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from spindle_spi.errors import Internal, Origin

if TYPE_CHECKING:
    from collections.abc import Generator

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@contextmanager
def plugin_edge(name: str) -> Generator[None]:
    """Turn what the code of the plugin `name` raises into `Internal`; cancellation passes."""
    try:
        yield
    except Exception as exc:  # noqa: BLE001 - a process edge: a plugin may raise anything
        _log.error(
            "plugin failed",
            plugin=name,
            error=type(exc).__qualname__,
            frames="".join(traceback.format_tb(exc.__traceback__)),
        )
        raise Internal(
            f"The plugin {name} failed.", code="plugin.failed", origin=Origin.PLUGIN
        ) from None
