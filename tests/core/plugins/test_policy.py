"""The plugins in force: swapped as one while calls go on, and never silently short of one."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
import structlog

from spindle.config import load_settings
from spindle.config.plugins import PluginEntry, PluginSettings
from spindle.plugins import PluginRegistry
from spindle.plugins.loading import find_installed
from spindle.plugins.policy import PluginPolicy
from spindle_spi.errors import ConfigError, Internal, PluginDenied
from spindle_spi.invocation import Complete, Invocation
from spindle_spi.plugin import HookPhase, Lane
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from tests.core.heart import Heart, Owner, open_heart
from tests.core.plugins.samples import Offer, Word, text_segment
from tests.core.store.opened import opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from spindle.store import Store
pytestmark = pytest.mark.anyio

ASK = Target(kind=Kind.TOOL, name="ask")
OPEN = Target(kind=Kind.MODEL, name="up~open")


class Mask(Word):
    """Masks a word."""

    name = "masks"

    def __init__(self, config: object = None) -> None:
        super().__init__("ab", "*")


def settings(*entries: PluginEntry, **changes: bool) -> PluginSettings:
    return PluginSettings(entries=entries, **changes)  # type: ignore[arg-type]


def entry(name: str, **changes: object) -> PluginEntry:
    return PluginEntry.model_validate_json(json.dumps({"plugin": "masks", "name": name, **changes}))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    async with opened(tmp_path) as store:
        yield store


def policy(
    store: Store, *entries: PluginEntry, offers: Sequence[Offer] | None = None
) -> PluginPolicy:
    found = [Offer("masks", Mask)] if offers is None else offers
    return PluginPolicy(settings(*entries), store.plugins, find=lambda: found)


async def follow(policy: PluginPolicy) -> None:
    (await policy.read())()


def names(policy: PluginPolicy) -> list[str]:
    return [active.name for active in policy.current.active]


def state(policy: PluginPolicy, name: str) -> str:
    return policy.installed[name].state


def origin(policy: PluginPolicy, name: str) -> str:
    return policy.installed[name].origin


async def put(store: Store, name: str, **entry: object) -> None:
    text = json.dumps({"plugin": "masks", "name": name, **entry})
    assert await store.plugins.create(name, text, by="test") is not None


async def test_entries_of_configuration_and_store_run_in_one_order(store: Store) -> None:
    """By priority; of equal ones those of the configuration first, then by name."""
    await put(store, "b")
    await put(store, "a")
    await put(store, "first", priority=1)
    await put(store, "off", mode="disabled")
    inforce = policy(store, entry("z"))
    assert names(inforce) == ["z"]
    await follow(inforce)
    assert names(inforce) == ["first", "z", "a", "b"]
    assert state(inforce, "off") == "disabled"


async def test_what_did_not_change_keeps_its_plugin(store: Store) -> None:
    """A breaker that is open stays open when somebody edits another entry."""
    await put(store, "a")
    inforce = policy(store, entry("z"))
    await follow(inforce)
    before = {active.name: active.plugin for active in inforce.current.active}
    unchanged = inforce.current
    await follow(inforce)
    assert inforce.current is unchanged
    await put(store, "b")
    await follow(inforce)
    inforce.prepare(settings(entry("z"), entry("y")))()
    after = {active.name: active.plugin for active in inforce.current.active}
    assert names(inforce) == ["z", "y", "a", "b"]
    assert (after["a"], after["z"]) == (before["a"], before["z"])


async def test_a_configuration_with_a_fault_changes_nothing(store: Store) -> None:
    """And one without takes entries away as well."""
    inforce = policy(store, entry("z"))

    with pytest.raises(ConfigError):
        inforce.prepare(settings(entry("y"), PluginEntry(plugin="nothing")))

    assert names(inforce) == ["z"]
    inforce.prepare(settings())()
    assert names(inforce) == []


@pytest.mark.parametrize(
    ("stored", "fault"),
    [
        ('{"plugin": "gone", "name": "x", "phases": ["pre_invoke"]}', "unknown plugin 'gone'"),
        ('{"plugin": "masks", "name": "x", "budget_seconds": 1}', "decides at once"),
        ('{"plugin": "masks", "name": "x", "colour": 1}', "unknown key"),
        ("no JSON", "configuration"),
    ],
)
async def test_a_stored_entry_that_cannot_be_built_keeps_its_place_and_denies(
    store: Store, stored: str, fault: str
) -> None:
    """An uninstalled plugin, a setting it refuses, a newer version's key: said, and closed."""
    await store.plugins.create("x", stored, by="test")
    inforce = policy(store)

    with structlog.testing.capture_logs() as logs:
        await follow(inforce)

    found = inforce.installed["x"]
    assert found.state == "unusable"
    assert fault in found.faults[0]
    assert [log["event"] for log in logs if log["log_level"] == "error"] == [
        "stored plugin not usable"
    ]
    (active,) = inforce.current.active
    assert active.is_unusable
    assert HookPhase.PRE_INVOKE in active.phases
    assert (HookPhase.POST_INVOKE in active.phases) == ("gone" not in stored)


async def test_a_disabled_entry_that_cannot_be_built_denies_nothing(store: Store) -> None:
    """It is shown as what it is."""
    await put(store, "x", plugin="gone", mode="disabled")
    inforce = policy(store)
    await follow(inforce)
    assert state(inforce, "x") == "unusable"
    assert names(inforce) == []


async def test_the_configuration_goes_before_a_stored_entry_of_its_name(store: Store) -> None:
    """Until its entry is gone."""
    await put(store, "x", priority=1)
    inforce = policy(store, entry("x", priority=7))
    await follow(inforce)
    assert origin(inforce, "x") == "config"
    assert names(inforce) == ["x"]
    inforce.prepare(settings())()
    assert origin(inforce, "x") == "api"
    assert state(inforce, "x") == "active"


async def test_stored_entries_are_held_to_the_rules_in_force(store: Store) -> None:
    """What may no longer fail open denies."""
    await put(store, "x", on_error="allow")
    inforce = policy(store)
    await follow(inforce)
    assert state(inforce, "x") == "active"
    inforce.prepare(settings(allow_fail_open=False))()
    assert state(inforce, "x") == "unusable"
    assert inforce.current.active[0].is_unusable


@pytest.fixture
async def heart(tmp_path: Path) -> AsyncGenerator[Heart]:
    async with open_heart(tmp_path) as heart:
        yield heart


async def install(heart: Heart, name: str, **entry: object) -> None:
    text = json.dumps({"plugin": "pii", "name": name, **entry})
    assert await heart.core.store.plugins.create(name, text, by="test") is not None
    await heart.core.snapshots.refresh()


async def remove(heart: Heart, name: str) -> None:
    row = await heart.core.store.plugins.get(name)
    assert row is not None
    assert await heart.core.store.plugins.delete(row)
    await heart.core.snapshots.refresh()


async def test_a_change_judges_the_next_call(heart: Heart) -> None:
    """Nothing is restarted."""
    owner = heart.core.owners["llm"] = Owner()
    caller = await heart.caller("red")
    wish = Invocation(target=ASK, arguments={"prompt": "a@example.org"})
    await heart.core.invoker.invoke(caller, wish)
    await install(heart, "mask")
    await heart.core.invoker.invoke(caller, wish)
    await remove(heart, "mask")
    await heart.core.invoker.invoke(caller, wish)
    prompts = [seen.arguments["prompt"] for seen in owner.seen]
    assert prompts == ["a@example.org", "[EMAIL]", "a@example.org"]


async def test_a_call_keeps_the_plugins_it_was_admitted_under(heart: Heart) -> None:
    """Those its plan names are there, and no stream changes its judge midway."""
    await install(heart, "mask")
    caller = await heart.caller("red")
    services = heart.core.services_for("llm")
    permit = await services.catalog.admit(caller, OPEN, Action.EXECUTE)
    guard = await services.plugin.open_guard(caller, permit.id)
    first = await guard.push(Lane(), "to a@example.org ")
    await remove(heart, "mask")
    await install(heart, "deny", config={"action": "deny"})
    rest = await guard.push(Lane(), "and b@example.org") + await guard.close(Lane())
    assert first + rest == "to [EMAIL] and [EMAIL]"
    judged = await services.plugin.execute_hook(
        caller, permit.id, HookPhase.PRE_INVOKE, [text_segment("c@example.org")]
    )
    assert [segment.text for segment in judged] == ["[EMAIL]"]
    again = await services.plugin.open_guard(caller, permit.id)
    assert await again.push(Lane(), "d@example.org") + await again.close(Lane()) == "[EMAIL]"
    later = await services.catalog.admit(caller, OPEN, Action.EXECUTE)

    with pytest.raises(PluginDenied):
        await services.plugin.execute_hook(
            caller, later.id, HookPhase.PRE_INVOKE, [text_segment("c@example.org")]
        )


async def test_an_owner_that_swaps_plugins_does_not_escape_them(heart: Heart) -> None:
    """The answer is judged by those the call was admitted under."""
    await install(heart, "mask")
    core = heart.core
    original = core.plugins.current

    def swap(_: Invocation) -> Complete:
        core.plugins.current = PluginRegistry()
        return Complete(payload={"content": [{"type": "text", "text": "z@example.org"}]})

    core.owners["llm"] = Owner(answer=swap)
    result = await core.invoker.invoke(await heart.caller("red"), Invocation(target=ASK))
    assert isinstance(result, Complete)
    assert "[EMAIL]" in str(result.payload)
    assert core.plugins.current is not original


async def test_a_plugin_that_is_gone_closes_the_calls_it_was_to_judge(heart: Heart) -> None:
    """With a code that says so; the owner never hears of them."""
    owner = heart.core.owners["llm"] = Owner()
    await install(heart, "lost", plugin="uninstalled", conditions={"kinds": ["tool"]})

    with pytest.raises(Internal) as caught:
        await heart.core.invoker.invoke(await heart.caller("red"), Invocation(target=ASK))

    assert caught.value.code == "plugin.unusable"
    assert "lost" in caught.value.message
    assert owner.seen == []
    assert b'spindle_plugin_failures_total{plugin="lost"} 1' in heart.core.metrics.render()


async def test_an_installed_plugin_is_found_by_its_entry_point(
    heart: Heart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distribution on the path, an entry in the store, a call that it judges."""
    folder = tmp_path / "site"
    info = folder / "acme_loud-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-loud\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[spindle.plugins]\nloud = acme_loud:Loud\n")
    (folder / "acme_loud.py").write_text(
        "from dataclasses import replace\n"
        "from spindle_spi.plugin import Plugin, SegmentKind\n"
        "class Loud(Plugin):\n"
        "    name = 'loud'\n"
        "    kinds = frozenset({SegmentKind.TEXT, SegmentKind.TOOL_ARGUMENTS})\n"
        "    async def inspect(self, call, segments):\n"
        "        return tuple(replace(s, text=s.text.upper()) for s in segments)\n"
    )
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.delitem(sys.modules, "acme_loud", raising=False)
    assert "loud" in {offer.name for offer in find_installed()}
    owner = heart.core.owners["llm"] = Owner()
    await install(heart, "shout", plugin="loud", phases=["pre_invoke"])
    await heart.core.invoker.invoke(
        await heart.caller("red"), Invocation(target=ASK, arguments={"prompt": "hush"})
    )
    assert owner.seen[0].arguments == {"prompt": "HUSH"}


def test_in_production_nothing_fails_open_unasked(tmp_path: Path) -> None:
    """The environment decides the default, and a word in the file beats it."""
    path = tmp_path / "spindle.yaml"
    text = "environment: production\nplugins:\n  entries: [{plugin: pii, on_error: allow}]\n"

    def load() -> PluginSettings:
        return load_settings(path, home=tmp_path, environ={}).plugins

    path.write_text(text)

    with pytest.raises(ConfigError):
        PluginRegistry.load(load())

    path.write_text(f"{text}  allow_fail_open: true\n")
    assert PluginRegistry.load(load()).active[0].fails_open
