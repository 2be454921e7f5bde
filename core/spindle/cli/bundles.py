"""`spindle config export | plan | apply | versions | rollback`, on the store directly."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from spindle.administrator import local_context
from spindle.audit import Audit
from spindle.bundles.document import MAX_BYTES, Bundle, read_bundle
from spindle.bundles.service import Bundles, Wish, show_plan, show_version
from spindle.bundles.writing import to_yaml
from spindle.catalog.editing import open_editor
from spindle.cli.failures import Failure, fail, reported
from spindle.cli.stores import on_store
from spindle.cli.tables import print_table
from spindle_spi.errors import GatewayError

if TYPE_CHECKING:
    from spindle.bundles.planning import Plan
    from spindle.config import Settings
    from spindle.home import Sources
    from spindle.store import Store
    from spindle.store.versions import VersionRow
    from spindle_spi.types import Json, JsonObject

T = TypeVar("T")

_MARKS = {"create": "+", "update": "~", "delete": "-"}


def export(sources: Sources, *, everything: bool, as_json: bool) -> None:
    """Print the catalog as one document."""

    async def work(bundles: Bundles) -> JsonObject:
        return await bundles.export(local_context(), everything=everything)

    with reported():
        bundle = _bundled(sources, work)

    sys.stdout.write(f"{json.dumps(bundle)}\n" if as_json else to_yaml(bundle).decode())


def plan(sources: Sources, file: str, *, prune: bool, as_json: bool) -> None:
    """Print what a document would change; exit status 1 when it has faults."""
    with reported():
        bundle = _read(file)

        async def work(bundles: Bundles) -> tuple[Plan, str]:
            return await bundles.plan(local_context(), bundle, prune=prune)

        found, revision = _bundled(sources, work)

    shown: JsonObject = {**show_plan(found, bundle), "revision": revision}

    if as_json:
        print(json.dumps(shown))
    else:
        _print_plan(shown)

    if found.faults:
        fail(*(str(fault) for fault in _texts(shown, "faults")))


def apply(sources: Sources, file: str, wish: Wish, *, as_json: bool) -> None:
    """Carry a document out as a whole."""
    with reported():
        bundle = _read(file)

        async def work(bundles: Bundles) -> tuple[Plan, VersionRow | None]:
            return await bundles.apply(local_context(), bundle, wish)

        found, version = _bundled(sources, work)

    _print_applied(show_plan(found, bundle), version, as_json=as_json)


def versions(sources: Sources, *, as_json: bool) -> None:
    """List what documents changed, the newest first."""

    async def work(bundles: Bundles) -> list[VersionRow]:
        return await bundles.versions(local_context())

    with reported():
        rows = _bundled(sources, work)

    if as_json:
        print(json.dumps([show_version(row) for row in rows]))
        return

    print_table(
        ("VERSION", "AT", "BY", "ACTION", "RECORDS", "NOTE"),
        [
            (
                str(row.id),
                datetime.fromtimestamp(row.at, UTC).isoformat(timespec="seconds"),
                row.actor,
                row.action,
                str(show_version(row)["records"]),
                row.note or "-",
            )
            for row in rows
        ],
    )


def rollback(sources: Sources, number: int, note: str, *, as_json: bool) -> None:
    """Go back to what was before a version."""

    async def work(bundles: Bundles) -> tuple[Plan, VersionRow | None]:
        return await bundles.rollback(local_context(), number, note)

    with reported():
        found, version = _bundled(sources, work)

    _print_applied(show_plan(found), version, as_json=as_json)


def _bundled(sources: Sources, work: Callable[[Bundles], Awaitable[T]]) -> T:
    async def on_bundles(store: Store, settings: Settings) -> T:
        async with open_editor(store, settings) as editor:
            bundles = Bundles(
                store=store,
                editor=editor,
                audit=Audit(store, settings.audit),
                is_production=settings.environment == "production",
            )
            return await work(bundles)

    return on_store(sources, on_bundles)


def _read(file: str) -> Bundle:
    data = sys.stdin.buffer.read(MAX_BYTES + 1) if file == "-" else Path(file).read_bytes()
    label = "standard input" if file == "-" else Path(file).name

    try:
        return read_bundle(data, is_json=file.endswith(".json"), label=label)
    except GatewayError as exc:
        raise Failure(exc.message) from exc


def _print_applied(shown: JsonObject, version: VersionRow | None, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**shown, "version": None if version is None else version.id}))
        return

    _print_plan(shown)

    if version is not None:
        print(
            f"Applied as version {version.id}; a running gateway has it within a second. "
            f"Take it back with: spindle config rollback {version.id}"
        )


def _print_plan(shown: JsonObject) -> None:
    changes = shown["changes"]

    for change in changes if isinstance(changes, list) else ():
        if isinstance(change, dict):
            print(f"{_MARKS[str(change['action'])]} {change['kind']} {change['name']}")

            if change["action"] == "update":
                _print_fields(change["before"], change["after"])

    for note in _texts(shown, "notes"):
        print(f"note: {note}")

    if not changes:
        print("Nothing changes.")


def _print_fields(before: Json, after: Json) -> None:
    old = before if isinstance(before, dict) else {}
    new = after if isinstance(after, dict) else {}

    for key in sorted({*old, *new}):
        print(f"    {key}: {json.dumps(old.get(key))} -> {json.dumps(new.get(key))}")


def _texts(shown: JsonObject, key: str) -> list[str]:
    found = shown[key]
    return [str(text) for text in found] if isinstance(found, list) else []
