"""`spindle plugin …`, on the store directly: no gateway needs to run."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import structlog
import yaml

from spindle.administrator import local_context
from spindle.audit import Audit
from spindle.cli.failures import Failure, reported
from spindle.cli.stores import on_store
from spindle.cli.tables import print_table
from spindle.config.plugins import PluginEntry
from spindle.plugins.administration import Actor, PluginAdministration, show_installed
from spindle.plugins.dry_run import make_sample, show_verdict
from spindle.plugins.host import Offer
from spindle.plugins.policy import PluginPolicy, read_entry
from spindle.secrets import SecretStore
from spindle_spi.plugin import HookPhase
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from spindle.config import Settings
    from spindle.home import Sources
    from spindle.plugins.policy import Installed
    from spindle.store import Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the options say of an entry; None is not said."""

    plugin: str | None = None
    mode: str | None = None
    priority: int | None = None
    phases: Sequence[str] | None = None
    teams: Sequence[str] | None = None
    servers: Sequence[str] | None = None
    tools: Sequence[str] | None = None
    models: Sequence[str] | None = None
    kinds: Sequence[str] | None = None
    budget: float | None = None
    on_error: str | None = None
    settings: Sequence[str] | None = None
    """`KEY=VALUE`, the value as YAML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a plugin is shown; one of text, arguments and messages."""

    text: str | None = None
    arguments: str | None = None
    messages: str | None = None
    phase: str = HookPhase.PRE_INVOKE.value


def list_all(sources: Sources, *, as_json: bool) -> None:
    """List the entries in the order in which they run, and what else can be configured."""

    async def work(admin: PluginAdministration) -> tuple[list[JsonObject], list[JsonObject]]:
        found = [show_installed(each) for each in admin.all(local_context())]
        return found, admin.available()

    found, available = _run(sources, work)

    if as_json:
        print(json.dumps({"items": found, "available": available}))
        return

    print_table(
        ("NAME", "PLUGIN", "STATE", "MODE", "PRIORITY", "ON ERROR", "FROM"),
        [
            tuple(
                str(row.get(key, "-"))
                for key in ("name", "plugin", "state", "mode", "priority", "on_error", "origin")
            )
            for row in found
        ],
    )
    print(f"Available: {', '.join(str(row['plugin']) for row in available)}")


def show(sources: Sources, name: str, *, as_json: bool) -> None:
    """Show one entry."""

    async def work(admin: PluginAdministration) -> Installed:
        return admin.get(local_context(), name)

    _print(_run(sources, work), as_json=as_json)


def add(sources: Sources, name: str, wish: Wish, *, as_json: bool) -> None:
    """Store a new entry."""

    async def work(admin: PluginAdministration) -> Installed:
        return await admin.create(_actor(), _entry({"name": name, **_keys(wish)}))

    _tell(_run(sources, work), "made", as_json=as_json)


def update(sources: Sources, name: str, wish: Wish, *, as_json: bool) -> None:
    """Change what the options say of an entry."""

    async def work(admin: PluginAdministration) -> Installed:
        changes = _keys(wish)

        if not changes:
            raise Failure("Nothing to change: say what, for example --priority 10.")

        found = admin.get(local_context(), name)
        return await admin.update(_actor(), found, _merged(found, changes))

    _tell(_run(sources, work), "changed", as_json=as_json)


def remove(sources: Sources, name: str) -> None:
    """Delete an entry."""

    async def work(admin: PluginAdministration) -> None:
        await admin.remove(_actor(), admin.get(local_context(), name))

    _run(sources, work)
    print(f"{name} is removed; a running gateway stops asking it within a second.")


def try_plugin(sources: Sources, name: str, shown: Shown, wish: Wish, *, as_json: bool) -> None:
    """Show a sample to an entry, or with `--plugin` to one that is not there."""

    async def work(admin: PluginAdministration) -> JsonObject:
        sample = make_sample(
            text=shown.text,
            arguments=_object(shown.arguments),
            messages=_list(shown.messages),
            phase=_phase(shown.phase),
        )
        context = local_context()

        if wish.plugin is not None:
            entry = _entry({"name": name, **_keys(wish)})
            return show_verdict(await admin.try_entry(context, entry, sample))

        found = admin.get(context, name)
        return show_verdict(await admin.try_installed(context, found, sample))

    verdict = _run(sources, work)

    if as_json:
        print(json.dumps(verdict))
        return

    print(f"{verdict['verdict']} ({verdict['milliseconds']} ms)")

    if verdict["message"]:
        print(verdict["message"])

    segments = verdict["segments"]

    if isinstance(segments, list):
        for segment in segments:
            if isinstance(segment, dict):
                print(f"{segment['pointer']}: {segment['text']}")


def _run(sources: Sources, work: Callable[[PluginAdministration], Awaitable[T]]) -> T:
    async def on_policy(store: Store, settings: Settings) -> T:
        policy = PluginPolicy(
            settings.plugins,
            store.plugins,
            offer=Offer(secrets=SecretStore.from_environment(settings.secret_sources)),
        )

        async def refresh() -> None:
            (await policy.read())()

        await refresh()
        return await work(
            PluginAdministration(policy, store.plugins, Audit(store, settings.audit), refresh)
        )

    if not structlog.is_configured():
        # Standard output is the command's own: it may be JSON.
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))

    with reported():
        return on_store(sources, on_policy)


def _actor() -> Actor:
    return Actor(context=local_context())


def _keys(wish: Wish) -> JsonObject:
    """Return the keys of an entry that options say."""
    conditions: JsonObject = {
        key: [*patterns]
        for key, patterns in (
            ("teams", wish.teams),
            ("servers", wish.servers),
            ("tools", wish.tools),
            ("models", wish.models),
            ("kinds", wish.kinds),
        )
        if patterns
    }
    said: JsonObject = {
        "plugin": wish.plugin,
        "mode": wish.mode,
        "priority": wish.priority,
        "phases": [*wish.phases] if wish.phases else None,
        "conditions": conditions or None,
        "budget_seconds": wish.budget,
        "on_error": wish.on_error,
        "config": _settings(wish.settings) if wish.settings else None,
    }
    return {key: value for key, value in said.items() if value is not None}


def _merged(found: Installed, changes: JsonObject) -> JsonObject:
    """Return changes where a list or a setting that is not said stays as it is."""
    if found.entry is None:
        return changes

    before: JsonObject = found.entry.model_dump(mode="json")
    merged = dict(changes)

    for key in ("conditions", "config"):
        old, new = before[key], changes.get(key)

        if isinstance(old, dict) and isinstance(new, dict):
            merged[key] = {**old, **new}

    return merged


def _settings(texts: Sequence[str]) -> JsonObject:
    settings: JsonObject = {}

    for text in texts:
        key, separator, value = text.partition("=")

        if not separator or not key:
            raise Failure("--set: write KEY=VALUE, for example --set action=deny.")

        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as exc:
            raise Failure(f"--set {key}: the value is no YAML.") from exc

    return settings


def _entry(wanted: JsonObject) -> PluginEntry:
    entry, faults = read_entry(json.dumps(wanted))

    if entry is None:
        raise Failure("\n".join(faults))

    return entry


def _object(text: str | None) -> JsonObject | None:
    value = _json(text, "--arguments")

    if value is not None and not isinstance(value, dict):
        raise Failure("--arguments: expected a JSON object.")

    return value


def _list(text: str | None) -> list[Json] | None:
    value = _json(text, "--messages")

    if value is not None and not isinstance(value, list):
        raise Failure("--messages: expected a JSON array.")

    return value


def _json(text: str | None, option: str) -> Json:
    if text is None:
        return None

    try:
        value: Json = json.loads(text)
    except ValueError as exc:
        raise Failure(f"{option}: expected JSON.") from exc

    return value


def _phase(text: str) -> HookPhase:
    try:
        return HookPhase(text)
    except ValueError as exc:
        raise Failure(f"--phase: expected one of {', '.join(HookPhase)}.") from exc


def _tell(found: Installed, verb: str, *, as_json: bool) -> None:
    if as_json:
        _print(found, as_json=True)
        return

    state = "" if found.state == "active" else f" ({found.state})"
    print(f"The entry {found.name} is {verb}{state}; a running gateway has it within a second.")


def _print(found: Installed, *, as_json: bool) -> None:
    shown = show_installed(found)

    if as_json:
        print(json.dumps(shown))
        return

    print_table(
        ("KEY", "VALUE"),
        [
            (key, value if isinstance(value, str) else json.dumps(value))
            for key, value in shown.items()
            if value not in (None, [], {})
        ],
    )
