"""Which modules may start, and how those that may not are named."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from typing import TYPE_CHECKING

import pytest

from spindle.ingress.core_routes import core_inventory
from spindle.loader import Discovery, ModulesRejected, discover
from tests.support.sample_modules import (
    Antique,
    Liar,
    Quiet,
    Sample,
    Twin,
    Unbuildable,
    descriptor,
    install,
)

if TYPE_CHECKING:
    from pathlib import Path

    from spindle_spi.descriptor import ModuleDescriptor
    from spindle_spi.module import Module

CORE = core_inventory()


class Squatter(Quiet):
    """Claims another module's section."""

    @property
    def descriptor(self) -> ModuleDescriptor:
        return descriptor("squatter", capabilities={}, config_section="sample")


class Usurper(Sample):
    """Brings a route of the core's."""

    module_id = "usurper"

    @property
    def routes(self) -> object:  # type: ignore[override]
        return CORE.routes


class Leaver(Quiet):
    """Tries to end the process when it is built."""

    def __init__(self) -> None:
        sys.exit(3)


def installed(folder: Path, **classes: type[Module] | str) -> list[EntryPoint]:
    """Return the entry points of a distribution with these modules."""
    install(folder, **classes)
    (found,) = distributions(path=[str(folder)])
    return list(found.entry_points.select(group="spindle.modules"))


def found_in(folder: Path, **classes: type[Module] | str) -> Discovery:
    return discover(installed(folder, **classes))


def faults_of(found: Discovery, **selection: tuple[str, ...]) -> tuple[str, ...]:
    with pytest.raises(ModulesRejected) as rejected:
        found.select(
            enabled=selection.get("enabled"), disabled=selection.get("disabled", ()), core=CORE
        )

    return rejected.value.faults


def test_good_modules_are_loaded_with_what_they_come_from(tmp_path: Path) -> None:
    """Id, distribution, SPI version, section and schema are known before anything runs."""
    found = found_in(tmp_path, sample=Sample, quiet=Quiet)
    chosen = found.select(enabled=None, disabled=(), core=CORE)
    assert [module.id for module in chosen] == ["quiet", "sample"]
    sample = chosen[1]
    assert (sample.distribution, sample.spi_version, sample.section) == (
        "samples 1.2",
        "1.0",
        "sample",
    )
    assert "word" in str(found.schemas["sample"])
    assert sample.build() is not sample.module


def test_every_fault_is_told_at_once_with_module_and_distribution(tmp_path: Path) -> None:
    """A lying descriptor, an old SPI, a class that cannot be built, a name that is not there."""
    here = "tests.support.sample_modules"
    found = found_in(
        tmp_path,
        liar=Liar,
        quiet=Antique,
        unbuildable=Unbuildable,
        absent=f"{here}:Absent",
        number=f"{here}:ROOT_MODULE.__len__",
    )
    faults = faults_of(found)
    assert found.modules == ()
    liar = "\n".join(fault for fault in faults if fault.startswith("liar (samples 1.2): "))
    assert "'magic'" in liar
    assert "there are no routes" in liar
    assert "the entry point is named 'liar', the descriptor says 'other'" in liar
    assert "runtimeModes does not have 'embedded', the only mode of this host" in liar
    assert any("speaks SPI 0.1: no version in common" in fault for fault in faults)
    (broken,) = [fault for fault in faults if fault.startswith("unbuildable")]
    assert "cannot be loaded: RuntimeError: no hardware (" in broken
    assert "sample_modules.py:" in broken
    assert any("AttributeError" in fault and fault.startswith("absent") for fault in faults)
    assert any("gives int, not a spindle_spi Module" in fault for fault in faults)


def test_a_module_that_ends_the_process_is_a_fault(tmp_path: Path) -> None:
    """Not even sys.exit takes the host along."""
    found = found_in(tmp_path, leaver=f"{__name__}:Leaver")
    assert "cannot be loaded: SystemExit: 3" in found.faults["leaver"][0]


def test_a_broken_module_that_is_switched_off_harms_nobody(tmp_path: Path) -> None:
    """Its section may stay in the configuration too."""
    found = found_in(tmp_path, sample=Sample, unbuildable=Unbuildable)
    assert found.schemas["unbuildable"] == {}

    off = found.select(enabled=None, disabled=("unbuildable",), core=CORE)
    out = found.select(enabled=("sample",), disabled=(), core=CORE)
    assert [module.id for module in (*off, *out)] == ["sample", "sample"]


def test_a_module_that_is_not_installed_is_named_with_those_that_are(tmp_path: Path) -> None:
    """A slip of the pen in `modules` must not start another set than was meant."""
    found = found_in(tmp_path, sample=Sample)
    assert faults_of(found, enabled=("smaple",), disabled=("quite",)) == (
        "modules.enabled: no module 'smaple' is installed; there are: sample",
        "modules.disabled: no module 'quite' is installed; there are: sample",
    )


def test_modules_that_do_not_fit_together_are_named_in_pairs(tmp_path: Path) -> None:
    """Two owners of a route, of a section, and a route that is the core's."""
    found = found_in(
        tmp_path,
        sample=Sample,
        twin=Twin,
        squatter=f"{__name__}:Squatter",
        usurper=f"{__name__}:Usurper",
    )
    faults = faults_of(found)
    assert faults[0] == (
        "sample (samples 1.2) and squatter (samples 1.2): "
        "both claim the configuration section 'sample'"
    )
    assert (
        "sample and twin: the routes GET /sample/word and GET /sample/word are the same" in faults
    )
    assert "core and usurper: the routes GET /health and GET /health are the same" in faults


def test_one_name_from_two_distributions_is_refused(tmp_path: Path) -> None:
    """Which of them would run is nobody's to guess."""
    one = installed(tmp_path / "one", sample=Sample)
    two = installed(tmp_path / "two", sample=Sample)
    found = discover([*one, *two])
    assert found.modules == ()
    assert found.faults["sample"] == ("sample: installed twice, by samples 1.2 and samples 1.2",)


def test_an_entry_point_without_a_distribution_is_still_named() -> None:
    """It was handed in, not installed."""
    entry = EntryPoint(name="quiet", value=f"{Quiet.__module__}:Quiet", group="spindle.modules")
    (module,) = discover([entry]).modules
    assert module.distribution == "an unknown distribution"


def test_loading_tells_which_module_it_is_at(tmp_path: Path) -> None:
    """So that somebody outside can name the one that hangs."""
    told: list[str] = []
    discover(installed(tmp_path, sample=Sample, quiet=Quiet), on_load=told.append)
    assert told == ["quiet", "sample"]


def test_what_is_installed_is_found_without_being_named() -> None:
    """First-party modules come the same way as everybody's."""
    names = {entry.name for entry in entry_points(group="spindle.modules")}
    assert {"llm", "mcp"} <= names
    assert isinstance(Distribution.from_name("spindle").version, str)
