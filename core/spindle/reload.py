"""Reads the configuration again and puts in force what can change while the process runs.

Everything is checked and built first; then the declared records are written, and everything is
put in one step with the snapshot that holds them. What is faulty changes nothing. What only a
restart can change is named, and keeps the value it started with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio
import anyio.to_thread
import structlog
from pydantic import BaseModel

from spindle.config import Settings
from spindle_spi.errors import ConfigError, FailedPrecondition, GatewayError

if TYPE_CHECKING:
    from spindle.snapshots import Snapshots
    from spindle.store import Store

_LOG = structlog.get_logger("spindle.reload")

Put: TypeAlias = Callable[[], None]

_NO_KEYS: Final = frozenset(
    {"home", "path", "paths", "store_url", "warnings", "notes", "secret_key", "secret_key_file"}
)
"""Fields of the settings that say nothing of their own, or are part of what is stored."""
_NAMES: Final = {
    "declared": "records",
    "programs": "mcp.stdio.allow",
    "tool_overrides": "mcp.gateways.tools",
    "secret_sources": "secrets",
}
"""What fields that are no section are called."""
_ALWAYS: Final = frozenset({"records"})
"""Keys this file takes care of."""


@dataclass(frozen=True, slots=True)
class Part:
    """Somebody whose keys can change at run time.

    `keys` are sections (`plugins`) or single keys (`server.allowed_hosts`). `prepare` checks and
    builds, and returns what puts it in force at once and without fail; it raises ConfigError with
    every fault. It is called with every reload, whether its keys changed or not.
    """

    keys: frozenset[str]
    prepare: Callable[[Settings], Put]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What came of it: keys whose new values are in force, and keys that wait for a restart."""

    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]


class Reloader:
    """One at a time; `parts` may be added to until the first reload."""

    def __init__(self, settings: Settings, store: Store, snapshots: Snapshots) -> None:
        self.parts: list[Part] = []
        self.load: Callable[[], Settings] | None = None
        """Reads the configuration from where this process got it; nobody may have said where."""
        self.current = settings
        """What is in force."""
        self._started = settings
        self._store = store
        self._snapshots = snapshots
        self._turn = anyio.Lock()

    async def reload(self) -> Reloaded:
        """Read, check, apply.

        Raises:
            ConfigError: The configuration is wrong; carries every fault, and nothing changed.
            FailedPrecondition: This process has no configuration to read.
            StoreUnavailable: The records cannot be written; nothing changed.
        """
        load = self.load

        if load is None:
            raise FailedPrecondition("This process was started without a configuration to read.")

        async with self._turn:
            wanted = await anyio.to_thread.run_sync(load)
            puts, faults = self._prepare(wanted)

            if faults:
                raise ConfigError(faults)

            live = _ALWAYS.union(*(part.keys for part in self.parts))
            applied = sorted(key for key in _changed(self.current, wanted) if _is_live(key, live))
            waiting = sorted(
                key for key in _changed(self._started, wanted) if not _is_live(key, live)
            )

            def put() -> None:
                for each in puts:
                    each()

                self.current = _in_force(self._started, wanted, live)

            await self._snapshots.change(
                lambda: self._store.catalog.replace("config", wanted.declared), put
            )

        result = Reloaded(applied=tuple(applied), needs_restart=tuple(waiting))
        _LOG.info(
            "configuration read again", applied=result.applied, needs_restart=result.needs_restart
        )
        return result

    async def try_reload(self) -> None:
        """Reload; what is wrong goes to the log, every fault of it."""
        try:
            await self.reload()
        except ConfigError as exc:
            _LOG.error("configuration not applied, everything stays as it was", faults=exc.faults)
        except GatewayError as exc:
            _LOG.error("configuration not applied, everything stays as it was", reason=exc.message)

    def _prepare(self, wanted: Settings) -> tuple[list[Put], list[str]]:
        puts: list[Put] = []
        faults: list[str] = []

        for part in self.parts:
            try:
                puts.append(part.prepare(wanted))
            except ConfigError as exc:
                faults += exc.faults

        return puts, faults


def _is_live(key: str, live: frozenset[str]) -> bool:
    return key in live or key.partition(".")[0] in live


def _changed(before: Settings, after: Settings) -> Iterator[str]:
    """Yield the keys whose values differ."""
    yield from _changed_sections(before.sections, after.sections)

    for name in _field_names(before):
        old, new = getattr(before, name), getattr(after, name)

        if old == new or name == "sections":
            continue

        if isinstance(old, BaseModel) and isinstance(new, BaseModel):
            yield from (
                f"{name}.{key}"
                for key in type(old).model_fields
                if getattr(old, key) != getattr(new, key)
            )
        else:
            yield _NAMES.get(name, name)


def _changed_sections(
    old: Mapping[str, Mapping[str, object]], new: Mapping[str, Mapping[str, object]]
) -> Iterator[str]:
    for name in {*old, *new}:
        was, becomes = old.get(name, {}), new.get(name, {})
        yield from (f"{name}.{key}" for key in {*was, *becomes} if was.get(key) != becomes.get(key))


def _in_force(started: Settings, wanted: Settings, live: frozenset[str]) -> Settings:
    """Return the settings as they are now: of each key the value that is used."""
    values: dict[str, object] = {}

    for name in _field_names(started):
        old, new = getattr(started, name), getattr(wanted, name)

        if isinstance(old, BaseModel) and isinstance(new, BaseModel):
            keys = [key for key in type(old).model_fields if _is_live(f"{name}.{key}", live)]
            values[name] = old.model_copy(update={key: getattr(new, key) for key in keys})
        elif _is_live(_NAMES.get(name, name), live):
            values[name] = new

    # The names come from the dataclass itself.
    return replace(started, **values)  # type: ignore[arg-type]


def _field_names(settings: Settings) -> list[str]:
    return [each.name for each in fields(settings) if each.name not in _NO_KEYS]
