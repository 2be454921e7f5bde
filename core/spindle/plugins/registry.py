"""The plugins of one moment: built once, asked on every call, never changed."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Protocol, Self

import structlog

from spindle.plugins.conditions import Facts, names_of, server_of
from spindle.plugins.host import JUDGING
from spindle.plugins.loading import (
    BUDGET_SECONDS,
    Find,
    Loader,
    MakeHost,
    PluginEntry,
    find_installed,
)
from spindle_spi.errors import ConfigError, ContractViolation, Origin
from spindle_spi.plugin import HookPhase, HookPlan, SegmentKind, phases_of
from spindle_spi.records import CatalogRecord, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spindle.plugins.active import ActivePlugin
    from spindle.plugins.tally import Meter
    from spindle_spi.context import AuthenticatedContext

EMPTY = HookPlan()
"""The plan of every call that no plugin looks at."""

HELD_LIMIT = 4 * 1024 * 1024
"""Characters of one answer that are held whole for one plugin."""

_MAX_PLANS = 4096
"""Plans kept of calls that differ for some condition; beyond it they are made again."""

_NO_RECORDS: Mapping[str, CatalogRecord] = {}

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class PluginSettings(Protocol):
    """The section `plugins`, as the settings hold it."""

    @property
    def unhandled(self) -> str:
        """`allow` or `deny`: content of kinds that no enforcing plugin of a phase handles."""
        ...

    @property
    def allow_fail_open(self) -> bool:
        """Whether an entry may let content pass that its plugin failed to judge."""
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
        meter: Meter | None = None,
        budget_seconds: float = BUDGET_SECONDS,
        held_limit: int = HELD_LIMIT,
        logs: bool = True,
    ) -> None:
        self.refuses_unhandled = refuses_unhandled
        self.meter = meter
        self.budget_seconds = budget_seconds
        self.held_limit = held_limit
        self.logs = logs
        self.active = tuple(plugins)
        self._plugins = {active.name: active for active in plugins}
        # Of every plugin, whatever its conditions: where this is empty, so is what applies.
        self._plans = {kind: self._make_plan(kind) for kind in Kind}
        self._has_conditions = any(active.conditions for active in plugins)
        self._asks_teams = any(active.conditions.teams for active in plugins)
        self._asks_servers = any(active.conditions.servers for active in plugins)
        self._chosen: dict[Facts, HookPlan] = {}

    @classmethod
    def load(
        cls,
        settings: PluginSettings,
        find: Find = find_installed,
        *,
        meter: Meter | None = None,
        make_host: MakeHost | None = None,
    ) -> Self:
        """Build every configured plugin.

        Raises:
            ConfigError: Something is wrong; it says every fault with its path.
        """
        loader = Loader(find, make_host=make_host, allows_fail_open=settings.allow_fail_open)

        if settings.unhandled not in ("allow", "deny"):
            loader.faults.append("plugins.unhandled: expected one of allow, deny")

        built = [
            (entry.priority, loader.build(entry, f"plugins.entries[{index}]"))
            for index, entry in enumerate(settings.entries)
        ]

        if loader.faults:
            raise ConfigError(loader.faults)

        plugins = in_order((priority, active) for priority, active in built if active is not None)
        warn_of_holding(plugins)
        return cls(plugins, refuses_unhandled=settings.unhandled == "deny", meter=meter)

    def plan(
        self,
        record: CatalogRecord,
        context: AuthenticatedContext,
        others: Sequence[CatalogRecord] = (),
        by_id: Mapping[str, CatalogRecord] = _NO_RECORDS,
    ) -> HookPlan:
        """Return which plugins look at a call of `record`; `EMPTY` when none does.

        `others` are the call's fallbacks, `by_id` where its virtual server is found.
        """
        plan = self._plans[record.kind]

        if plan is EMPTY:
            return plan

        if self._has_conditions:
            # What no condition asks about makes no difference: one plan serves all of it.
            facts = Facts(
                record.kind,
                names_of(record, others),
                server_of(context, by_id) if self._asks_servers else None,
                context.subject.token_teams if self._asks_teams else None,
            )
            plan = self._choose(plan, facts)

        judging = JUDGING.get()
        return without(plan, judging) if judging else plan

    def judging(self, kind: Kind, names: Sequence[str]) -> tuple[str, ...]:
        """Return who may look at calls of these records, in order, whoever makes the call."""
        plan = self._plans[kind]
        return tuple(
            active.name
            for active in self.active
            if active.name in (*plan.request, *plan.answer) and active.conditions.cover(kind, names)
        )

    def plans_kept(self) -> int:
        """Return how many plans are kept that conditions chose."""
        return len(self._chosen)

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

    def _choose(self, plan: HookPlan, facts: Facts) -> HookPlan:
        chosen = self._chosen.get(facts)

        if chosen is None:
            if len(self._chosen) >= _MAX_PLANS:
                self._chosen.clear()

            absent = [active.name for active in self.active if not active.conditions.hold(facts)]
            chosen = self._chosen[facts] = without(plan, absent)

        return chosen

    def _make_plan(self, kind: Kind) -> HookPlan:
        phases = phases_of(kind)

        if phases is None:
            return EMPTY

        request, answer = (self._names_in(phase) for phase in phases)

        if not request and not answer:
            return EMPTY

        named = {*request, *answer}
        documents = kind is Kind.TOOL and any(
            SegmentKind.DOCUMENT in active.plugin.kinds
            for active in self.active
            if active.name in named
        )
        return HookPlan(request=request, answer=answer, documents=documents)

    def _names_in(self, phase: HookPhase) -> tuple[str, ...]:
        return tuple(active.name for active in self._plugins.values() if phase in active.phases)


def without(plan: HookPlan, names: Sequence[str]) -> HookPlan:
    """Return a plan without some plugins; `EMPTY` when nothing is left."""
    request = tuple(name for name in plan.request if name not in names)
    answer = tuple(name for name in plan.answer if name not in names)

    if not request and not answer:
        return EMPTY

    return HookPlan(request=request, answer=answer, documents=plan.documents)


def in_order(built: Iterable[tuple[int, ActivePlugin]]) -> list[ActivePlugin]:
    """Return plugins by their priorities; of equal ones, the first runs first."""
    return [active for _, active in sorted(built, key=itemgetter(0))]


def warn_of_holding(plugins: Iterable[ActivePlugin]) -> None:
    """Say which plugins hold streamed answers to their end."""
    for active in plugins:
        if active.is_enforced and not active.is_scanning and HookPhase.POST_INVOKE in active.phases:
            _log.warning(
                "plugin holds streamed answers to their end",
                plugin=active.name,
                reason="it has no span, so its verdict may depend on the whole text",
            )
