"""The plugins in force: those of the configuration and those of the store, swapped as one.

A call keeps the registry it was admitted under; the next call gets the current one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

import structlog
from pydantic import ValidationError

from spindle.config.faults import model_fault, render_fault
from spindle.config.plugins import PluginEntry, PluginSettings
from spindle.plugins.active import ActivePlugin, Unusable, unusable
from spindle.plugins.conditions import conditions_of
from spindle.plugins.host import CoreHost, Offer
from spindle.plugins.loading import Find, Loader, find_installed
from spindle.plugins.registry import PluginRegistry, in_order, warn_of_holding
from spindle.store.plugins import PluginRow
from spindle_spi.errors import ConfigError
from spindle_spi.plugin import PluginMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spindle.plugins.tally import Meter
    from spindle.store.plugins import StoredPlugins

_LOG: structlog.stdlib.BoundLogger = structlog.get_logger("spindle.plugins")

State: TypeAlias = Literal["active", "disabled", "unusable", "overridden"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One entry as it stands: what was asked for, and what became of it."""

    name: str
    entry: PluginEntry | None
    """None when what is stored cannot be read."""
    origin: Literal["config", "api"]
    active: ActivePlugin | None
    """What takes part in calls; None for a disabled one."""
    faults: tuple[str, ...] = ()
    """Why it cannot be used."""
    is_overridden: bool = False
    """Whether the configuration has another entry of its name."""
    row: PluginRow | None = None

    @property
    def state(self) -> State:
        """Whether it takes part in calls, and as what."""
        if self.is_overridden:
            return "overridden"

        if self.faults:
            return "unusable"

        return "disabled" if self.active is None else "active"


@dataclass(frozen=True, slots=True)
class _Declared:
    settings: PluginSettings
    installed: Mapping[str, Installed]


@dataclass(slots=True)
class _Stored:
    rows: tuple[PluginRow, ...] = ()
    installed: dict[str, Installed] = field(default_factory=dict[str, Installed])


class PluginPolicy:
    """Holds the current registry; a follower of the store."""

    def __init__(
        self,
        settings: PluginSettings,
        store: StoredPlugins,
        *,
        meter: Meter | None = None,
        offer: Offer | None = None,
        find: Find = find_installed,
    ) -> None:
        """Build what the configuration declares; the store is read by `read`.

        Raises:
            ConfigError: Something is wrong; it says every fault with its path.
        """
        self._store = store
        self._meter = meter
        self._offer = offer
        self._find = find
        self._stored = _Stored()
        self._declared = _Declared(settings, {})
        self.current = PluginRegistry()
        self.installed: Mapping[str, Installed] = {}
        """Every entry by name; of two with one name, that of the configuration."""
        self.prepare(settings)()

    @property
    def settings(self) -> PluginSettings:
        """The section `plugins` that is in force."""
        return self._declared.settings

    def loader(self) -> Loader:
        """Return what builds an entry under the rules in force."""
        return self._loader(self.settings)

    def prepare(self, settings: PluginSettings) -> Callable[[], None]:
        """Build what another configuration declares; return what puts it in force.

        Raises:
            ConfigError: Something is wrong; everything stays as it was.
        """
        loader = self._loader(settings)
        before = self._declared
        is_same = _rules(before.settings) == _rules(settings)
        installed: dict[str, Installed] = {}

        for index, entry in enumerate(settings.entries):
            kept = before.installed.get(entry.name)

            if is_same and kept is not None and kept.entry == entry:
                installed[entry.name] = kept
                continue

            active = loader.build(entry, f"plugins.entries[{index}]")
            installed[entry.name] = Installed(
                name=entry.name, entry=entry, origin="config", active=active
            )

        if loader.faults:
            raise ConfigError(loader.faults)

        def put() -> None:
            self._declared = _Declared(settings, installed)

            if not is_same:
                # What was stored is held to the rules in force.
                self._stored = self._build(self._stored.rows, {})

            self._swap()

        return put

    async def read(self) -> Callable[[], None]:
        """Read the stored entries; return what puts them in force."""
        rows = await self._store.all()

        def put() -> None:
            if rows != self._stored.rows:
                self._stored = self._build(rows, self._stored.installed)
                self._swap()

        return put

    def _loader(self, settings: PluginSettings) -> Loader:
        offer = self._offer
        make_host = None

        if offer is not None:
            make_host = partial(CoreHost, replace(offer, allowed_hosts=settings.allowed_hosts))

        return Loader(self._find, make_host=make_host, allows_fail_open=settings.allow_fail_open)

    def _build(self, rows: Sequence[PluginRow], kept: Mapping[str, Installed]) -> _Stored:
        loader = self.loader()
        installed: dict[str, Installed] = {}

        for row in rows:
            before = kept.get(row.name)
            # A plugin may hold what it learned: it stays while its entry does.
            is_kept = before is not None and before.row == row
            installed[row.name] = before if is_kept and before else _install(loader, row)

        return _Stored(tuple(rows), installed)

    def _swap(self) -> None:
        declared = self._declared
        shown = {
            name: _overridden(found) if name in declared.installed else found
            for name, found in self._stored.installed.items()
        }
        everything = [*declared.installed.values(), *shown.values()]

        for found in shown.values():
            if found.faults:
                _LOG.error(
                    "stored plugin not usable",
                    plugin=found.name,
                    state=found.state,
                    faults=list(found.faults),
                )

        plugins = in_order(
            (found.entry.priority if found.entry else 0, found.active)
            for found in everything
            if found.active is not None
        )
        warn_of_holding(active for active in plugins if active not in self.current.active)
        self.installed = {found.name: found for found in reversed(everything)}
        self.current = PluginRegistry(
            plugins, refuses_unhandled=declared.settings.unhandled == "deny", meter=self._meter
        )


def read_entry(text: str) -> tuple[PluginEntry | None, tuple[str, ...]]:
    """Return a stored entry, or why it cannot be read."""
    try:
        return PluginEntry.model_validate_json(text), ()
    except ValidationError as exc:
        faults = [
            model_fault(error, PluginEntry)
            for error in exc.errors(include_url=False)
            if error["type"] != "default_factory_not_called"  # follows from another fault
        ]
        return None, tuple(render_fault(fault, {}) for fault in faults)


def _install(loader: Loader, row: PluginRow) -> Installed:
    entry, faults = read_entry(row.entry)

    if entry is None:
        return Installed(
            name=row.name,
            entry=None,
            origin="api",
            active=unusable(row.name),
            faults=faults,
            row=row,
        )

    before = len(loader.faults)
    active = loader.build(entry, "")
    faults = tuple(loader.faults[before:])

    if faults and entry.mode is not PluginMode.DISABLED:
        active = unusable(
            entry.name,
            mode=entry.mode,
            phases=frozenset(entry.phases or Unusable.phases),
            conditions=conditions_of(entry.conditions),
        )

    return Installed(
        name=entry.name, entry=entry, origin="api", active=active, faults=faults, row=row
    )


def _overridden(found: Installed) -> Installed:
    problem = "name: the configuration has an entry of this name, and that one is in force"
    return replace(found, active=None, faults=(problem,), is_overridden=True)


def _rules(settings: PluginSettings) -> tuple[object, ...]:
    """Return what decides how entries are built, apart from themselves."""
    return settings.allow_fail_open, settings.allowed_hosts
