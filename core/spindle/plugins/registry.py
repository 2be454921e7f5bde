"""The plugins in force: loaded once from the configuration, asked on every call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

import structlog

from spindle.plugins.loading import Find, Loader, PluginEntry, find_installed
from spindle_spi.errors import ConfigError, ContractViolation, Origin
from spindle_spi.plugin import HookPhase, HookPlan, phases_of
from spindle_spi.records import CatalogRecord, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.plugins.active import ActivePlugin
    from spindle.plugins.tally import Count
    from spindle_spi.context import AuthenticatedContext

EMPTY = HookPlan()
"""The plan of every call that no plugin looks at."""

BUDGET_SECONDS = 5.0
"""How long a plugin may take to inspect."""

HELD_LIMIT = 4 * 1024 * 1024
"""Characters of one answer that are held whole for one plugin."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class PluginSettings(Protocol):
    """The section `plugins`, as the settings hold it."""

    @property
    def unhandled(self) -> str:
        """`allow` or `deny`: content of kinds that no enforcing plugin of a phase handles."""
        ...

    @property
    def entries(self) -> Sequence[PluginEntry]:
        """The configured plugins."""
        ...


class PluginRegistry:
    """The active plugins in order, and the plan of each kind of record."""

    def __init__(
        self,
        plugins: Sequence[ActivePlugin] = (),
        *,
        refuses_unhandled: bool = False,
        count: Count | None = None,
        budget_seconds: float = BUDGET_SECONDS,
        held_limit: int = HELD_LIMIT,
    ) -> None:
        self.refuses_unhandled = refuses_unhandled
        self.count = count
        self.budget_seconds = budget_seconds
        self.held_limit = held_limit
        self.active = tuple(plugins)
        self._plugins = {active.name: active for active in plugins}
        self._plans = {kind: self._make_plan(kind) for kind in Kind}

    @classmethod
    def load(
        cls, settings: PluginSettings, find: Find = find_installed, *, count: Count | None = None
    ) -> Self:
        """Build every configured plugin.

        Raises:
            ConfigError: Something is wrong; it says every fault with its path.
        """
        loader = Loader(find)

        if settings.unhandled not in ("allow", "deny"):
            loader.faults.append("plugins.unhandled: expected one of allow, deny")

        built: list[tuple[int, ActivePlugin]] = []

        for index, entry in enumerate(settings.entries):
            active = loader.build(entry, f"plugins.entries[{index}]")

            if active is not None:
                built.append((entry.priority, active))

        if loader.faults:
            raise ConfigError(loader.faults)

        # The sort is stable: of equal priorities, the first in the file runs first.
        plugins = [active for _, active in sorted(built, key=lambda pair: pair[0])]
        _warn_of_holding(plugins)
        return cls(plugins, refuses_unhandled=settings.unhandled == "deny", count=count)

    def plan(self, record: CatalogRecord, context: AuthenticatedContext) -> HookPlan:
        """Return which plugins look at a call of `record`; `EMPTY` when none does."""
        del context
        return self._plans[record.kind]

    def resolve(self, names: Sequence[str]) -> tuple[ActivePlugin, ...]:
        """Return the plugins that a plan names.

        Raises:
            ContractViolation: One of them is not active; what it should judge must not pass.
        """
        try:
            return tuple(self._plugins[name] for name in names)
        except KeyError as exc:
            raise ContractViolation(
                "A plan names a plugin that is not active.", origin=Origin.CORE
            ) from exc

    def _make_plan(self, kind: Kind) -> HookPlan:
        phases = phases_of(kind)

        if phases is None:
            return EMPTY

        request, answer = (self._names_in(phase) for phase in phases)
        return HookPlan(request=request, answer=answer) if request or answer else EMPTY

    def _names_in(self, phase: HookPhase) -> tuple[str, ...]:
        return tuple(active.name for active in self._plugins.values() if phase in active.phases)


def _warn_of_holding(plugins: Sequence[ActivePlugin]) -> None:
    for active in plugins:
        if active.is_enforced and not active.is_scanning and HookPhase.POST_INVOKE in active.phases:
            _log.warning(
                "plugin holds streamed answers to their end",
                plugin=active.name,
                reason="it has no span, so its verdict may depend on the whole text",
            )
