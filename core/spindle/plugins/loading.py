"""From configuration to plugin objects: finds, checks and builds them, collecting every fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Protocol

from spindle.config.faults import render_fault
from spindle.config.schema import schema_faults
from spindle.plugins.active import ActivePlugin
from spindle.plugins.builtin import BUILTIN
from spindle.plugins.conditions import conditions_of
from spindle.plugins.edge import plugin_edge
from spindle_spi.errors import GatewayError, InvalidArgument
from spindle_spi.plugin import HookPhase, Plugin, PluginHost, PluginMode, SegmentKind

if TYPE_CHECKING:
    from enum import StrEnum

    from spindle.plugins.conditions import ConditionLists
    from spindle_spi.types import Json

ENTRY_POINT_GROUP = "spindle.plugins"


class PluginEntry(Protocol):
    """One entry of `plugins.entries`, as the settings hold it."""

    @property
    def name(self) -> str:
        """What the operator calls it; unique."""
        ...

    @property
    def plugin(self) -> str:
        """Which plugin: a built-in name or an entry point's."""
        ...

    @property
    def mode(self) -> str:
        """enforce, permissive or disabled."""
        ...

    @property
    def priority(self) -> int:
        """Lower runs earlier."""
        ...

    @property
    def phases(self) -> Sequence[str] | None:
        """Phases it runs in; None or empty: those it declares."""
        ...

    @property
    def conditions(self) -> ConditionLists:
        """Which calls it is for."""
        ...

    @property
    def budget_seconds(self) -> float | None:
        """How long `inspect` may take; None means the usual time."""
        ...

    @property
    def on_error(self) -> str:
        """`deny` or `allow`: what becomes of content when the plugin fails."""
        ...

    @property
    def config(self) -> Mapping[str, Json]:
        """Its own configuration."""
        ...


class Discovered(Protocol):
    """An entry point: a name, and the code behind it when it is asked for."""

    @property
    def name(self) -> str:
        """The name a configuration says."""
        ...

    def load(self) -> object:
        """Import what it points to."""
        ...


Find = Callable[[], Iterable[Discovered]]
MakeHost = Callable[[str, float], PluginHost]
"""Makes the host of one plugin, from the entry's name and its time budget in seconds."""

BUDGET_SECONDS = 5.0
"""How long a plugin may take to inspect, where its entry does not say."""


def find_installed() -> Iterable[Discovered]:
    """Return the plugins that installed distributions offer."""
    return entry_points(group=ENTRY_POINT_GROUP)


class Loader:
    """Builds plugins one entry at a time and keeps the faults of all of them."""

    def __init__(
        self,
        find: Find,
        *,
        make_host: MakeHost | None = None,
        allows_fail_open: bool = True,
    ) -> None:
        self.faults: list[str] = []
        self._find = find
        self._make_host = make_host
        self._allows_fail_open = allows_fail_open
        self._installed: list[Discovered] | None = None
        self._names: set[str] = set()

    def build(self, entry: PluginEntry, path: str) -> ActivePlugin | None:
        """Build one entry; None when it is faulty or disabled."""
        before = len(self.faults)
        mode = next((mode for mode in PluginMode if mode == entry.mode), None)

        if mode is None:
            expected = ", ".join(PluginMode)
            self._fault(_at(path, "mode"), f"expected one of {expected}")

        if not entry.name or entry.name in self._names:
            self._fault(_at(path, "name"), "expected a name that no other entry has")

        self._names.add(entry.name)
        self._check_failing(entry, path)
        kind = self._load_class(entry.plugin, path)
        plugin = None if kind is None else self._create(kind, entry, path)

        if plugin is None or mode is None:
            return None

        phases = self._choose_phases(plugin, entry, path)

        if entry.budget_seconds is not None and plugin.span is not None:
            problem = f"the plugin {entry.plugin!r} decides at once; only one that waits has a time"
            self._fault(_at(path, "budget_seconds"), problem)

        if len(self.faults) > before:
            return None

        return ActivePlugin(
            name=entry.name,
            plugin=plugin,
            mode=mode,
            phases=phases,
            conditions=conditions_of(entry.conditions),
            budget_seconds=entry.budget_seconds,
            fails_open=entry.on_error == "allow",
        )

    def offers(self) -> list[tuple[str, str, type[Plugin] | None]]:
        """Return what can be configured: name, `builtin` or `installed`, and its class.

        The class is None where it cannot be used; why is among the faults.
        """
        installed = self._discover()
        names = sorted({*BUILTIN, *(offer.name for offer in installed)})
        return [
            (name, "builtin" if name in BUILTIN else "installed", self._load_class(name, name))
            for name in names
        ]

    def _check_failing(self, entry: PluginEntry, path: str) -> None:
        if entry.on_error not in ("deny", "allow"):
            self._fault(_at(path, "on_error"), "expected one of deny, allow")

        if entry.on_error == "allow" and not self._allows_fail_open:
            self._fault(
                _at(path, "on_error"),
                "content that was not judged may pass only where `plugins.allow_fail_open` is true",
            )

    def _discover(self) -> list[Discovered]:
        if self._installed is None:
            self._installed = list(self._find())

        return self._installed

    def _fault(self, path: str, text: str) -> None:
        self.faults.append(f"{path}: {text}")

    def _load_class(self, name: str, path: str) -> type[Plugin] | None:
        offer = self._find_offer(name, path)

        if offer is None:
            return None

        try:
            with plugin_edge(name):
                loaded, reason = _import(offer)
        except GatewayError:
            loaded, reason = None, "see the log"

        if reason is not None:
            self._fault(_at(path, "plugin"), f"the plugin {name!r} cannot be imported: {reason}")
            return None

        if not isinstance(loaded, type) or not issubclass(loaded, Plugin):
            self._fault(
                _at(path, "plugin"), f"{name!r} is no subclass of spindle_spi.plugin.Plugin"
            )
            return None

        return loaded

    def _find_offer(self, name: str, path: str) -> Discovered | None:
        builtin = BUILTIN.get(name)

        if builtin is not None:
            return EntryPoint(name=name, value=builtin, group=ENTRY_POINT_GROUP)

        installed = self._discover()
        offers = [offer for offer in installed if offer.name == name]

        if not offers:
            known = ", ".join(sorted({*BUILTIN, *(offer.name for offer in installed)}))
            self._fault(_at(path, "plugin"), f"unknown plugin {name!r}; expected one of {known}")
            return None

        if len(offers) > 1:
            self._fault(
                _at(path, "plugin"), f"{len(offers)} installed distributions offer {name!r}"
            )
            return None

        return offers[0]

    def _create(self, kind: type[Plugin], entry: PluginEntry, path: str) -> Plugin | None:
        plugin: Plugin | None = None
        problems: list[str] = []

        try:
            with plugin_edge(entry.plugin):
                problems = _config_problems(kind, entry, path)

                if not problems and entry.mode != PluginMode.DISABLED:
                    plugin, problems = self._build(kind, entry, path)
        except GatewayError:
            problems = [
                f"{path or 'plugin'}: the plugin {entry.plugin!r} cannot be created: see the log"
            ]

        self.faults += problems
        return plugin

    def _build(
        self, kind: type[Plugin], entry: PluginEntry, path: str
    ) -> tuple[Plugin | None, list[str]]:
        try:
            plugin = kind(dict(entry.config))
        except InvalidArgument as exc:
            # Said on purpose, about a setting that a schema cannot judge.
            return None, [f"{_at(path, 'config')}: {exc.message}"]

        self._bind(plugin, entry)
        where = _at(path, "plugin")
        return plugin, [
            f"{where}: the plugin {entry.plugin!r} {problem}" for problem in find_problems(plugin)
        ]

    def _bind(self, plugin: Plugin, entry: PluginEntry) -> None:
        if self._make_host is not None:
            plugin.bind(self._make_host(entry.name, entry.budget_seconds or BUDGET_SECONDS))

    def _choose_phases(self, plugin: Plugin, entry: PluginEntry, path: str) -> frozenset[HookPhase]:
        if not entry.phases:
            return frozenset(plugin.phases)

        offered = sorted(phase.value for phase in plugin.phases)

        for index, name in enumerate(entry.phases):
            if name not in offered:
                self._fault(_at(path, f"phases[{index}]"), f"expected one of {', '.join(offered)}")

        return frozenset(phase for phase in plugin.phases if phase.value in entry.phases)


def _import(offer: Discovered) -> tuple[object, str | None]:
    try:
        return offer.load(), None
    except (ImportError, AttributeError) as exc:
        # Neither content nor configuration has reached the plugin: its message is safe to show.
        return None, str(exc)


def find_problems(plugin: Plugin) -> Iterator[str]:
    """Yield what a plugin object promises that the pipeline cannot rely on."""
    name: object = getattr(plugin, "name", None)

    if not isinstance(name, str) or not name:
        yield "has no name"

    if not _are_all(plugin.kinds, SegmentKind):
        yield "handles no kinds of segments"

    if not _are_all(plugin.phases, HookPhase):
        yield "runs in no phases"

    if plugin.span is not None and plugin.span < 1:
        yield "has a span that is no positive number"

    if plugin.lookbehind < 0:
        yield "has a negative lookbehind"

    yield from _find_unused_methods(plugin)


def _find_unused_methods(plugin: Plugin) -> Iterator[str]:
    has_scan = type(plugin).scan is not Plugin.scan
    has_inspect = type(plugin).inspect is not Plugin.inspect

    if plugin.span is not None and not has_scan:
        yield "has a span and no method `scan`"

    if plugin.span is not None and has_inspect:
        yield "has a span and a method `inspect`, which would never be called"

    if not has_scan and not has_inspect:
        yield "implements neither `scan` nor `inspect`"


def _are_all(values: Set[object], kind: type[StrEnum]) -> bool:
    return bool(values) and all(isinstance(value, kind) for value in values)


def _config_problems(kind: type[Plugin], entry: PluginEntry, path: str) -> list[str]:
    faults = schema_faults(
        ("config",), entry.config, kind.config_schema, f"the plugin {entry.plugin!r}"
    )
    return [_at(path, render_fault(fault, {})) for fault in faults]


def _at(path: str, key: str) -> str:
    """Return the path of a key of an entry; an entry that stands alone has no path of its own."""
    return f"{path}.{key}" if path else key
