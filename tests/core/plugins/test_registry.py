"""Loading plugins from the configuration: every fault with its path, order, plans."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import structlog

from spindle.plugins import EMPTY, PluginRegistry
from spindle.plugins.builtin import BUILTIN
from spindle.plugins.builtin.pii import Pii
from spindle.plugins.loading import BUDGET_SECONDS
from spindle.plugins.registry import HELD_LIMIT
from spindle_spi.errors import ConfigError
from spindle_spi.plugin import HookPhase, Plugin
from spindle_spi.records import CatalogRecord, ExtensionSpec, Kind
from tests.core.plugins.samples import CONTEXT, Counted, Entry, Offer, Section

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle_spi.plugin import Finding, PluginInput, Segment
    from spindle_spi.types import Json, JsonObject


class Quiet(Plugin):
    """The least a third party writes."""

    name = "quiet"
    span = 3

    def scan(self, text: str, start: int) -> Sequence[Finding]:
        return ()


class Whole(Plugin):
    name = "whole"

    async def inspect(self, call: PluginInput, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        return tuple(segments)


class Configured(Quiet):
    config_schema: Mapping[str, Json] = {
        "type": "object",
        "properties": {
            "words": {"type": "array", "items": {"type": "string"}},
            "most": {"maximum": 3},
        },
        "required": ["words"],
        "additionalProperties": False,
    }

    def __init__(self, config: JsonObject | None = None) -> None:
        super().__init__(config)

        if self.config.get("words") == ["boom"]:
            raise RuntimeError("boom")


def load(*entries: Entry, offers: Sequence[Offer] = (), unhandled: str = "allow") -> PluginRegistry:
    return PluginRegistry.load(Section(entries=entries, unhandled=unhandled), lambda: offers)


def faults_of(*entries: Entry, offers: Sequence[Offer] = (), unhandled: str = "allow") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(*entries, offers=offers, unhandled=unhandled)

    return list(caught.value.faults)


def record(kind: Kind) -> CatalogRecord:
    return CatalogRecord(id="1", kind=kind, name="r", spec=ExtensionSpec())


def test_without_plugins_every_plan_is_the_one_empty_plan() -> None:
    """Nothing is lifted, nothing is looked up."""
    registry = load()
    assert all(registry.plan(record(kind), CONTEXT) is EMPTY for kind in Kind)
    assert not EMPTY


def test_a_plan_names_the_active_plugins_of_the_phases_of_a_kind() -> None:
    """Fetching and invoking have phases of their own; a plan is made once."""
    registry = load(
        Entry(name="in", phases=("pre_invoke",)),
        Entry(name="out", phases=("post_invoke", "post_fetch")),
        Entry(name="off", mode="disabled"),
        Entry(name="watch", mode="permissive", phases=("post_invoke",)),
    )
    plan = registry.plan(record(Kind.MODEL), CONTEXT)
    assert (plan.request, plan.answer) == (("in",), ("out", "watch"))
    assert registry.plan(record(Kind.MODEL), CONTEXT) is plan
    fetched = registry.plan(record(Kind.PROMPT), CONTEXT)
    assert (fetched.request, fetched.answer) == ((), ("out",))
    assert registry.plan(record(Kind.GATEWAY), CONTEXT) is EMPTY


def test_lower_priorities_run_first_and_equal_ones_in_the_order_of_the_file() -> None:
    """The order of the plan is the order of running."""
    priorities = {"a": 5, "b": 1, "c": 5, "d": 0}
    registry = load(*(Entry(name=name, priority=value) for name, value in priorities.items()))
    assert [active.name for active in registry.active] == ["d", "b", "a", "c"]


def test_an_installed_plugin_is_found_and_gets_its_configuration() -> None:
    """With and without a constructor of its own."""
    offers = [Offer("own", Configured), Offer("quiet", Quiet)]
    registry = load(
        Entry(name="own", plugin="own", config={"words": ["a"]}),
        Entry(name="quiet", plugin="quiet"),
        offers=offers,
    )
    own, quiet = registry.active
    assert isinstance(own.plugin, Configured)
    assert own.plugin.config == {"words": ["a"]}
    assert isinstance(quiet.plugin, Quiet)


def test_the_built_in_plugin_goes_before_an_installed_one_of_its_name() -> None:
    """No package takes a built-in plugin's place."""
    registry = load(Entry(), offers=[Offer("pii", Quiet)])
    assert isinstance(registry.active[0].plugin, Pii)


def _properties() -> dict[str, Json]:
    properties = Pii.config_schema["properties"]
    assert isinstance(properties, dict)
    return properties


def _kinds() -> list[str]:
    match _properties()["kinds"]:
        case {"items": {"enum": list(kinds)}}:
            return [str(kind) for kind in kinds]
        case _:
            raise AssertionError


def test_every_fault_is_said_at_once_with_its_path() -> None:
    """The operator mends the file once."""
    faults = faults_of(
        Entry(name="a", config={"kinds": ["email", "nothing"], "colour": "red"}),
        Entry(name="a", mode="loud"),
        Entry(name="b", plugin="nothing"),
        Entry(name="c", phases=("pre_invoke", "lunch")),
        Entry(name="d", plugin="own", config={"words": [7], "most": 4}),
        Entry(name="e", plugin="own", mode="disabled"),
        Entry(name="", plugin="quiet"),
        offers=[Offer("own", Configured), Offer("quiet", Quiet)],
        unhandled="maybe",
    )
    assert sorted(faults) == sorted(
        [
            "plugins.unhandled: expected one of allow, deny",
            "plugins.entries[0].config.colour: unknown key; expected one of "
            f"{', '.join(sorted(_properties()))}",
            "plugins.entries[0].config.kinds[1]: the value is not allowed; "
            f"expected one of {', '.join(_kinds())}",
            "plugins.entries[1].mode: expected one of enforce, permissive, disabled",
            "plugins.entries[1].name: expected a name that no other entry has",
            "plugins.entries[2].plugin: unknown plugin 'nothing'; expected one of "
            f"{', '.join(sorted({*BUILTIN, 'own', 'quiet'}))}",
            "plugins.entries[3].phases[1]: expected one of "
            "post_fetch, post_invoke, pre_fetch, pre_invoke",
            "plugins.entries[4].config.words[0]: is an integer; expected string",
            "plugins.entries[4].config.most: the value is not allowed; expected maximum: 3",
            "plugins.entries[5].config: 'words' is a required property",
            "plugins.entries[6].name: expected a name that no other entry has",
        ]
    )


def test_no_fault_says_a_configured_value() -> None:
    """It may be a secret in the wrong place."""
    faults = faults_of(
        Entry(plugin="own", config={"words": "sk-secret"}), offers=[Offer("own", Configured)]
    )
    assert faults == ["plugins.entries[0].config.words: is a string; expected array"]


class Nameless(Quiet):
    name = ""


class Kindless(Quiet):
    kinds = frozenset()


class Phaseless(Quiet):
    phases = frozenset()


class Spanless(Quiet):
    span = 0


class Backward(Quiet):
    lookbehind = -1


class Torn(Quiet, Whole):
    name = "torn"


class Scanless(Plugin):
    name = "scanless"
    span = 3


class Idle(Plugin):
    name = "idle"


class Schemaless(Quiet):
    config_schema: Mapping[str, Json] = {"type": "nonsense"}


class Remote(Quiet):
    config_schema: Mapping[str, Json] = {"$ref": "http://localhost:1/schema"}


@pytest.mark.parametrize(
    ("offered", "fault"),
    [
        (Nameless, ".plugin: the plugin 'own' has no name"),
        (Kindless, ".plugin: the plugin 'own' handles no kinds of segments"),
        (Phaseless, ".plugin: the plugin 'own' runs in no phases"),
        (Spanless, ".plugin: the plugin 'own' has a span that is no positive number"),
        (Backward, ".plugin: the plugin 'own' has a negative lookbehind"),
        (Torn, ".plugin: the plugin 'own' has a span and a method `inspect`, "
               "which would never be called"),
        (Scanless, ".plugin: the plugin 'own' has a span and no method `scan`"),
        (Idle, ".plugin: the plugin 'own' implements neither `scan` nor `inspect`"),
        (Schemaless, ".config: the schema of the plugin 'own' is no JSON Schema: "
                     "'nonsense' is not valid under any of the given schemas"),
        (Remote, ".config: the schema of the plugin 'own' refers to another document"),
        (dict, ".plugin: 'own' is no subclass of spindle_spi.plugin.Plugin"),
        (Quiet(), ".plugin: 'own' is no subclass of spindle_spi.plugin.Plugin"),
        (None, ".plugin: 'own' is no subclass of spindle_spi.plugin.Plugin"),
        (ImportError("No module named 'x'"),
         ".plugin: the plugin 'own' cannot be imported: No module named 'x'"),
        (RuntimeError("no"), ".plugin: the plugin 'own' cannot be imported: see the log"),
    ],
)  # fmt: skip
def test_a_plugin_the_pipeline_cannot_rely_on_is_a_fault(offered: object, fault: str) -> None:
    """What a third party's class promises is checked before the first call."""
    offers = [Offer("own", offered)]
    assert faults_of(Entry(plugin="own"), offers=offers)[0].endswith(f"entries[0]{fault}")


def test_a_constructor_that_raises_is_a_fault() -> None:
    """The configuration is not quoted."""
    entry = Entry(plugin="own", config={"words": ["boom"]})
    faults = faults_of(entry, offers=[Offer("own", Configured)])
    assert faults == ["plugins.entries[0]: the plugin 'own' cannot be created: see the log"]


def test_two_installed_plugins_of_one_name_are_a_fault() -> None:
    """Which one runs must not depend on the order of installation."""
    faults = faults_of(Entry(plugin="own"), offers=[Offer("own", Quiet), Offer("own", Whole)])
    assert faults == ["plugins.entries[0].plugin: 2 installed distributions offer 'own'"]


def test_a_plugin_that_holds_streams_to_their_end_is_said_at_load() -> None:
    """Only where it holds something: not for requests, not when nothing is enforced."""
    entries = (
        Entry(name="holds", plugin="whole"),
        Entry(name="requests", plugin="whole", phases=("pre_invoke",)),
        Entry(name="watches", plugin="whole", mode="permissive"),
        Entry(name="flows", plugin="quiet"),
    )

    with structlog.testing.capture_logs() as logs:
        load(*entries, offers=[Offer("whole", Whole), Offer("quiet", Quiet)])

    assert [(entry["log_level"], entry["plugin"]) for entry in logs] == [("warning", "holds")]


async def test_what_is_loaded_is_what_runs() -> None:
    """Counter, rule about unhandled kinds and bounds reach the calls."""
    counted = Counted()
    settings = Section(entries=(Entry(name="mask"),), unhandled="deny")
    registry = PluginRegistry.load(settings, meter=counted)
    assert registry.refuses_unhandled
    assert (registry.budget_seconds, registry.held_limit) == (BUDGET_SECONDS, HELD_LIMIT)
    assert registry.meter is counted
    assert registry.active[0].phases == frozenset(HookPhase)


def test_without_plugins_neither_jsonschema_nor_the_built_in_plugins_are_imported() -> None:
    """The default start pays for nothing."""
    program = (
        "import sys\n"
        "from types import SimpleNamespace as Section\n"
        "from spindle.plugins import PluginRegistry\n"
        "PluginRegistry.load(Section(entries=(), unhandled='allow', allow_fail_open=True))\n"
        "print([name for name in ('jsonschema', 'spindle.plugins.builtin.pii')"
        " if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "[]\n"
