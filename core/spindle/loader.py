"""Finds the installed modules and checks every promise they make, before anything runs.

Faults are collected, never raised one by one: the operator sees all of them at once, each with the
module and the distribution it comes from.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final

from spindle.ingress.routes import RouteFaults, RouteSource, RouteTable
from spindle_spi.errors import ContractViolation
from spindle_spi.module import Module
from spindle_spi.verification import faults_in
from spindle_spi.versions import SPI_VERSIONS, negotiate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_spi.types import Json

GROUP: Final = "spindle.modules"
_MODE = "embedded"


class ModulesRejected(Exception):
    """Some modules must not start; carries every fault, one sentence each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModule:
    """A module that keeps its promises, as far as can be told before it runs."""

    id: str
    distribution: str
    """Name and version of the package it came in."""
    module: Module
    """The first instance; every restart builds another one."""
    build: Callable[[], Module]
    spi_version: str

    @property
    def section(self) -> str:
        """The name of its section in the configuration."""
        return self.module.descriptor.config_section or self.id

    def source(self) -> RouteSource:
        """Return what it brings to the route table."""
        return RouteSource(owner=self.id, routes=self.module.routes, prefixes=self.module.prefixes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What is installed: modules that may start, and the faults of those that may not."""

    modules: tuple[LoadedModule, ...]
    faults: Mapping[str, tuple[str, ...]]
    """By the name of the entry point."""

    @property
    def schemas(self) -> dict[str, Mapping[str, Json]]:
        """JSON Schemas of the modules' configuration sections, by section.

        A broken module's section may hold anything: its own fault is the one to be told.
        """
        broken: dict[str, Mapping[str, Json]] = {name: {} for name in self.faults}
        return broken | {module.section: module.module.config_schema for module in self.modules}

    def select(
        self, *, enabled: Sequence[str] | None, disabled: Sequence[str], core: RouteSource
    ) -> tuple[LoadedModule, ...]:
        """Return the modules that shall run, in the order of their names.

        Raises:
            ModulesRejected: One of them must not start, or they do not fit together.
        """
        installed = {module.id for module in self.modules} | self.faults.keys()
        wanted = (installed if enabled is None else set(enabled)) - set(disabled)
        chosen = tuple(module for module in self.modules if module.id in wanted)
        faults = [
            *_name_faults("modules.enabled", enabled or (), installed),
            *_name_faults("modules.disabled", disabled, installed),
            *(fault for name in sorted(wanted & self.faults.keys()) for fault in self.faults[name]),
            *_section_faults(chosen),
        ]

        try:
            RouteTable([core, *(module.source() for module in chosen)])
        except RouteFaults as exc:
            faults += exc.faults

        if faults:
            raise ModulesRejected(faults)

        return chosen


def discover(
    found: Iterable[EntryPoint] | None = None, *, on_load: Callable[[str], None] | None = None
) -> Discovery:
    """Import every installed module and check it; nothing is raised for what is wrong with one.

    `on_load` is told the name of each module before its code runs.
    """
    listed = sorted(
        entry_points(group=GROUP) if found is None else found, key=lambda entry: entry.name
    )
    modules: dict[str, LoadedModule] = {}
    faults: dict[str, tuple[str, ...]] = {}

    for entry in listed:
        if entry.name in modules or entry.name in faults:
            others = [_distribution(other) for other in listed if other.name == entry.name]
            modules.pop(entry.name, None)
            faults[entry.name] = (f"{entry.name}: installed twice, by {' and '.join(others)}",)
            continue

        if on_load is not None:
            on_load(entry.name)

        loaded = _load(entry)

        if isinstance(loaded, LoadedModule):
            modules[entry.name] = loaded
        else:
            where = f"{entry.name} ({_distribution(entry)})"
            faults[entry.name] = tuple(f"{where}: {fault}" for fault in loaded)

    return Discovery(modules=tuple(modules.values()), faults=faults)


def check_instance(module: Module, name: str) -> list[str]:
    """Return what is wrong with one instance; empty when it may run here under that name."""
    descriptor = module.descriptor
    faults = list(faults_in(module))

    if descriptor.module_id != name:
        faults.append(
            f"the entry point is named {name!r}, the descriptor says {descriptor.module_id!r}"
        )

    if _MODE not in descriptor.runtime_modes:
        faults.append(f"runtimeModes does not have {_MODE!r}, the only mode of this host")

    return faults


def _load(entry: EntryPoint) -> LoadedModule | list[str]:
    """Run a module's own code for the first time: whatever it raises is its fault."""
    try:
        build = entry.load()
        module = build()

        if not isinstance(module, Module):
            return [f"{entry.value} gives {type(module).__name__}, not a spindle_spi Module"]

        faults = check_instance(module, entry.name)
        versions = module.descriptor.spi_versions
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - the edge to a module's code
        return [f"cannot be loaded: {type(exc).__name__}: {exc}{_place(exc)}"]

    try:
        version = negotiate(
            host="spindle", host_versions=SPI_VERSIONS, module=entry.name, module_versions=versions
        )
    except ContractViolation as exc:
        return [*faults, exc.message]

    if faults:
        return faults

    return LoadedModule(
        id=entry.name,
        distribution=_distribution(entry),
        module=module,
        build=build,
        spi_version=version,
    )


def _place(exc: BaseException) -> str:
    """Return where an error was raised, for the module's author."""
    frames = traceback.extract_tb(exc.__traceback__)
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def _distribution(entry: EntryPoint) -> str:
    dist = entry.dist
    return "an unknown distribution" if dist is None else f"{dist.name} {dist.version}"


def _name_faults(key: str, names: Iterable[str], installed: Iterable[str]) -> Iterator[str]:
    for name in sorted(set(names) - set(installed)):
        yield f"{key}: no module {name!r} is installed; there are: {', '.join(sorted(installed))}"


def _section_faults(modules: Iterable[LoadedModule]) -> Iterator[str]:
    first: dict[str, LoadedModule] = {}

    for module in modules:
        other = first.setdefault(module.section, module)

        if other is not module:
            yield (
                f"{other.id} ({other.distribution}) and {module.id} ({module.distribution}): "
                f"both claim the configuration section {module.section!r}"
            )
