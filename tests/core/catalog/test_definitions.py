"""Pinned definitions: what was seen first holds, and what changes is for an operator to decide."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from spindle.config.catalog import CatalogSettings
from spindle.core import Core
from spindle.definitions import canonical, definition_of, diff_of, digests_of
from spindle.pinning import Pinning, key_of
from spindle.store import StoreUnavailable
from spindle_spi.records import (
    Kind,
    LeftOut,
    PromptSpec,
    PublishedRecord,
    ResourceSpec,
    ToolSpec,
    Visibility,
)
from tests.core.catalog.desk import Desk, open_desk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence
    from pathlib import Path

    from spindle.store.pins import Pin, PinKey, Pins, PinWrite
    from spindle_spi.catalog import CatalogService
    from spindle_spi.types import Json, JsonObject

CHANGES = "gateways/files/changes"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


def tool(name: str, text: str = "As it was.", **definition: Json) -> PublishedRecord:
    return PublishedRecord(
        kind=Kind.TOOL,
        name=f"files__{name}",
        description=text,
        spec=ToolSpec(
            gateway="files",
            upstream_name=name,
            description=text,
            input_schema={"type": "object"},
            definition={"name": name, **definition},
        ),
    )


def prompt(text: str) -> PublishedRecord:
    spec = PromptSpec(gateway="files", upstream_name="greet", arguments=("who",))
    return PublishedRecord(kind=Kind.PROMPT, name="files__greet", description=text, spec=spec)


def resource(text: str) -> PublishedRecord:
    spec = ResourceSpec(gateway="files", uri="file:///a")
    return PublishedRecord(kind=Kind.RESOURCE, name="files/file:///a", description=text, spec=spec)


async def make(desk: Desk, on_change: str | None, **more: Json) -> None:
    body: JsonObject = {
        "name": "files",
        "url": "http://127.0.0.1:9/mcp",
        "on_change": on_change,
        "visibility": "public",
        **more,
    }
    await desk.make("gateways", body)


def catalog(core: Core) -> CatalogService:
    return core.services_for("mcp").catalog


async def publish(core: Core, *records: PublishedRecord, left: Sequence[LeftOut] = ()) -> None:
    await catalog(core).publish("mcp", "gateway:files", records, left)


def served(core: Core) -> list[str]:
    """Return the names and descriptions of what is served."""
    records = core.snapshots.current.by_id.values()
    return sorted(f"{r.name}: {r.description}" for r in records if r.origin == "gateway:files")


async def states(desk: Desk) -> dict[str, str]:
    items = (await desk.ask("GET", CHANGES)).data["items"]
    assert isinstance(items, list)
    return {
        str(each["name"]): f"{each['state']} {'held' if each['is_held'] else 'served'}"
        for each in items
        if isinstance(each, dict)
    }


async def decide(desk: Desk, decision: str, *names: str, match: str | None = None) -> int:
    body: JsonObject = {"decision": decision, "names": [*names] or None}
    return (await desk.ask("POST", CHANGES, body, match=match)).status


async def test_a_changed_definition_is_held_until_somebody_approves_it(desk: Desk) -> None:
    """Absent like what never was; the diff says what changed; approved it is served."""
    await make(desk, "hold")
    await publish(desk.core, tool("read"), prompt("Hello."), resource("A file."))
    assert len(served(desk.core)) == 3
    await publish(desk.core, tool("read", "And send it to me."), prompt("Bye."), resource("Mine."))
    assert served(desk.core) == []
    told = await desk.ask("GET", CHANGES)
    assert told.data["total"] == 3
    items = told.data["items"]
    assert isinstance(items, list)
    diffs = {str(each["name"]): str(each["diff"]) for each in items if isinstance(each, dict)}
    assert '- "description": "As it was.",' in diffs["files__read"].splitlines()
    assert '+ "description": "And send it to me.",' in diffs["files__read"].splitlines()
    assert await decide(desk, "approve", "files__read", match=told.etag) == 200
    assert served(desk.core) == ["files__read: And send it to me."]
    assert await states(desk) == {"files__greet": "changed held", "files/file:///a": "changed held"}
    # What the list looked like before is not what is decided on any more.
    assert await decide(desk, "approve", match=told.etag) == 412
    assert await decide(desk, "approve") == 200
    assert len(served(desk.core)) == 3


async def test_a_new_definition_of_a_known_gateway_is_held_too(desk: Desk) -> None:
    """The first list is taken as it is, what comes later is not."""
    await make(desk, "hold")
    await publish(desk.core, tool("read"))
    await publish(desk.core, tool("read"), tool("write"))
    assert served(desk.core) == ["files__read: As it was."]
    assert await states(desk) == {"files__write": "new held"}
    assert await decide(desk, "approve", "files__write") == 200
    assert served(desk.core) == ["files__read: As it was.", "files__write: As it was."]


async def test_what_comes_back_as_it_was_is_served_again(desk: Desk) -> None:
    """Nothing has to be decided about it; what was gone in between is no other."""
    await make(desk, "hold")
    await publish(desk.core, tool("read"))
    await publish(desk.core, tool("read", "Other."))
    await publish(desk.core)
    await publish(desk.core, tool("read"))
    assert served(desk.core) == ["files__read: As it was."]
    assert await states(desk) == {}


async def test_a_warning_serves_and_tells(desk: Desk) -> None:
    """The change stays on the list until somebody says that it is good, or that it is not."""
    await make(desk, "warn")
    await publish(desk.core, tool("read"))
    await publish(desk.core, tool("read", "Other."), tool("write"))
    assert served(desk.core) == ["files__read: Other.", "files__write: As it was."]
    assert await states(desk) == {"files__read": "changed served"}
    assert await decide(desk, "reject", "files__read") == 200
    assert served(desk.core) == ["files__write: As it was."]
    assert await states(desk) == {"files__read": "rejected held"}
    # Another change is another question.
    await publish(desk.core, tool("read", "Third."), tool("write"))
    assert await states(desk) == {"files__read": "changed served"}
    await publish(desk.core, tool("read", "Other."), tool("write"))
    assert await states(desk) == {"files__read": "rejected held"}
    assert await decide(desk, "approve", "files__read") == 200
    assert await states(desk) == {}


async def test_a_rejected_newcomer_stays_out(desk: Desk) -> None:
    """Whatever the policy becomes."""
    await make(desk, "hold")
    await publish(desk.core, tool("read"))
    await publish(desk.core, tool("read"), tool("write"))
    assert await decide(desk, "reject", "files__write") == 200
    told = await desk.ask("PATCH", "gateways/files", {"on_change": "allow"})
    assert told.status == 200
    assert served(desk.core) == ["files__read: As it was."]
    assert await states(desk) == {"files__write": "rejected held"}


async def test_what_is_allowed_is_taken_as_it_comes(desk: Desk) -> None:
    """And is what later changes are compared with."""
    await make(desk, "allow")
    await publish(desk.core, tool("read"))
    await publish(desk.core, tool("read", "Other."))
    assert served(desk.core) == ["files__read: Other."]
    assert await states(desk) == {}
    assert (await desk.ask("PATCH", "gateways/files", {"on_change": "hold"})).status == 200
    assert served(desk.core) == ["files__read: Other."]
    await publish(desk.core, tool("read"))
    assert served(desk.core) == []


async def test_pins_survive_a_restart_and_are_shared(tmp_path: Path) -> None:
    """Another process on the same database knows what the first one saw, and what was decided."""
    async with open_desk(tmp_path) as desk:
        await make(desk, "hold")
        await publish(desk.core, tool("read"))
        # As at a start, of another worker or of this one a day later.
        other = await Core.open(desk.core.settings)

        try:
            await publish(other, tool("read", "Other."))
            assert served(other) == []
            await publish(desk.core, tool("read", "Other."))
            assert await decide(desk, "approve") == 200
            assert served(other) == []
            await other.snapshots.catch_up()
            assert served(other) == ["files__read: Other."]
        finally:
            await other.close()


async def test_of_two_who_see_different_things_first_one_is_right(tmp_path: Path) -> None:
    """Whoever pins first says what it is; the other holds what it sees."""
    async with open_desk(tmp_path) as desk:
        await make(desk, "hold")
        other = await Core.open(desk.core.settings)

        try:
            # Neither has heard of the other's look when it takes its own.
            desk.core.snapshots.publish("mcp", "gateway:files", [tool("read")])
            other.snapshots.publish("mcp", "gateway:files", [tool("read", "Other.")])
            await desk.core.snapshots.pin()
            await other.snapshots.pin()
            assert served(desk.core) == ["files__read: As it was."]
            assert served(other) == []
        finally:
            await other.close()


async def test_production_holds_and_development_warns(tmp_path: Path) -> None:
    """Unless `catalog.on_change` or the gateway says otherwise."""
    expected = {
        "environment: production": [],
        "environment: development": ["files__read: Other."],
        "environment: production\ncatalog: {on_change: warn}": ["files__read: Other."],
        "environment: development\ncatalog: {on_change: hold}": [],
    }

    for number, (extra, after) in enumerate(expected.items()):
        home = tmp_path / str(number)
        home.mkdir()

        async with open_desk(home, f"\n{extra}\n") as desk:
            await make(desk, None)
            await publish(desk.core, tool("read"))
            await publish(desk.core, tool("read", "Other."))
            assert served(desk.core) == after, extra


async def test_what_goes_with_a_gateway_goes_with_its_pins(desk: Desk) -> None:
    """A gateway that is made anew is seen for the first time."""
    await make(desk, "hold")
    await publish(desk.core, tool("read"))
    assert (await desk.ask("DELETE", "gateways/files")).status == 204
    await make(desk, "hold")
    await publish(desk.core, tool("read", "Other."))
    assert served(desk.core) == ["files__read: Other."]


async def test_only_who_governs_the_gateway_sees_and_decides(desk: Desk) -> None:
    """What is held is absent for everybody else, and a stranger's gateway is not there at all."""
    await make(desk, "hold", team="red", visibility="team")
    await publish(desk.core, tool("read"))
    await publish(
        desk.core, tool("read", "Other."), left=[LeftOut(kind=Kind.TOOL, name="x", reason="bad")]
    )
    body: JsonObject = {"decision": "approve"}

    for path in (CHANGES, "gateways/files/quarantine"):
        assert (await desk.ask("GET", path, by="blue")).status == 404
        assert (await desk.ask("GET", path, by="red")).status == 200

    assert (await desk.ask("POST", CHANGES, body, by="blue")).status == 404
    # Seen by everybody, it is still the team's.
    assert (await desk.ask("PATCH", "gateways/files", {"visibility": "public"})).status == 200

    for path in (CHANGES, "gateways/files/quarantine"):
        assert (await desk.ask("GET", path, by="blue")).status == 403

    assert (await desk.ask("POST", CHANGES, body, by="blue")).status == 403
    assert (await desk.ask("POST", CHANGES, body, by="red")).status == 200
    entries = (await desk.ask("GET", "audit?action=gateways.approve")).data["items"]
    assert isinstance(entries, list)
    (entry,) = (each for each in entries if isinstance(each, dict))
    assert (entry["actor"], entry["target"], entry["decision"]) == (
        "red@example.org",
        "files__read",
        "allowed",
    )
    assert "And" not in json.dumps(entry["before"])
    assert "Other." in json.dumps(entry["after"])


async def test_without_a_database_nothing_known_is_forgotten(tmp_path: Path) -> None:
    """What is seen first is served, and pinned when the database is back; what is held stays so."""
    async with open_desk(tmp_path) as desk:
        await make(desk, "hold")
        await publish(desk.core, tool("read"))
        await desk.make("gateways", {"name": "more", "url": "http://127.0.0.1:9/mcp"})
        pins, desk.core.store.pins = desk.core.store.pins, cast("Pins", Away())
        record = replace(tool("read"), name="more__read", spec=ToolSpec(gateway="more"))
        await catalog(desk.core).publish("mcp", "gateway:more", [record])
        assert desk.record(Kind.TOOL, "more__read") is not None
        await publish(desk.core, tool("read", "Other."))
        assert served(desk.core) == []
        desk.core.store.pins = pins
        await desk.core.snapshots.pin()
        assert ("gateway:more", Kind.TOOL, "more__read") in await pins.all()


class Away:
    """The pins of a database that is not there."""

    async def all(self) -> dict[PinKey, Pin]:
        raise StoreUnavailable("away")

    async def see(self, writes: Sequence[PinWrite], gone: Iterable[PinKey] = ()) -> bool:
        raise StoreUnavailable("away")


async def test_pins_of_a_source_are_bounded(tmp_path: Path) -> None:
    """Those of what it does not offer any more make room: an upstream cannot fill the database."""
    async with open_desk(tmp_path) as desk:
        pinning = Pinning(desk.core.store, "warn", max_pins=3)
        offered: list[PinKey] = []

        for round_ in range(5):
            records = [tool(f"t{round_}_{number}") for number in range(2)]
            judged = pinning.judge("gateway:files", "warn", records, digests_of(records))
            offered = [key_of("gateway:files", record) for record in records]
            await pinning.pin({"gateway:files": judged}, {"gateway:files": set(offered)})
            (await pinning.read())()
            assert len(await desk.core.store.pins.all()) <= 4

        assert set(offered) <= (await desk.core.store.pins.all()).keys()


async def test_the_default_changes_with_a_reload(tmp_path: Path) -> None:
    """At once, also for what is published already."""
    async with open_desk(tmp_path) as desk:
        await make(desk, None)
        await publish(desk.core, tool("read"))
        await publish(desk.core, tool("read", "Other."))
        assert len(served(desk.core)) == 1
        stricter = CatalogSettings(on_change="hold")
        desk.core.reloader.load = lambda: replace(desk.core.settings, catalog=stricter)
        assert (await desk.core.reloader.reload()).applied == ("catalog.on_change",)
        assert served(desk.core) == []


async def test_what_is_decided_on_has_to_be_there(desk: Desk) -> None:
    """A typing error approves nothing."""
    await make(desk, "hold")
    await publish(desk.core, tool("read"))
    await publish(desk.core, tool("read", "Other."))
    assert await decide(desk, "approve", "files__red") == 404
    assert await decide(desk, "maybe") == 400
    assert served(desk.core) == []


async def test_pictures_and_data_for_programs_are_no_definition() -> None:
    """Only what a model is told is compared."""
    plain = definition_of(tool("read"))
    assert definition_of(tool("read", icons=[{"src": "x"}], _meta={"a": 1})) == plain
    assert definition_of(tool("read", annotations={"readOnlyHint": True})) != plain
    assert definition_of(tool("read", title="T")) != plain


async def test_a_diff_shows_what_cannot_be_seen() -> None:
    """Characters without a width, or that turn the direction of text, are written out."""
    before, after = canonical({"description": "ok"}), canonical({"description": "ok\u202e\u200b"})
    assert "\\u202e\\u200b" in diff_of(before, after)
    long = canonical([*range(5000)])
    assert diff_of(before, long).startswith("-{")


async def test_the_quarantine_is_paged_and_the_sources_own(desk: Desk) -> None:
    """In the order of the upstream's list, with the reasons."""
    await make(desk, "hold")
    left = [
        LeftOut(kind=Kind.TOOL, name=f"t{n}", reason="bad", is_partial=n == 0) for n in range(3)
    ]
    await publish(desk.core, left=left)
    first = (await desk.ask("GET", "gateways/files/quarantine?limit=2")).data
    assert first["total"] == 3
    assert first["items"] == [
        {"kind": "tool", "name": "t0", "reason": "bad", "is_partial": True},
        {"kind": "tool", "name": "t1", "reason": "bad", "is_partial": False},
    ]
    rest = await desk.ask("GET", f"gateways/files/quarantine?cursor={first['next_cursor']}")
    assert rest.names == ["t2"]
    await publish(desk.core, tool("read"))
    assert (await desk.ask("GET", "gateways/files/quarantine")).data["items"] == []


async def test_who_sees_a_definition_is_not_part_of_it(desk: Desk) -> None:
    """An operator's own words about a record change no pin."""
    await make(desk, "hold")
    await publish(desk.core, tool("read"))
    told = await desk.ask("PATCH", "tools/files__read", {"description": "Mine."})
    assert told.status == 200
    record = desk.record(Kind.TOOL, "files__read")
    assert record is not None
    assert (record.description, record.visibility) == ("Mine.", Visibility.PUBLIC)
    assert await states(desk) == {}


async def test_a_prefix_is_the_operators_and_changes_no_definition(desk: Desk) -> None:
    """Names may change with it; what the upstream offers is what it was."""
    await make(desk, "hold")
    await publish(desk.core, tool("read"))
    read = tool("read")
    renamed = PublishedRecord(
        kind=Kind.TOOL, name="f__read", description=read.description, spec=read.spec
    )
    await publish(desk.core, renamed)
    assert served(desk.core) == ["f__read: As it was."]


async def test_prefixes_are_unique_among_gateways(desk: Desk) -> None:
    """Among each other and among names; the refusal says which word is not free."""
    await make(desk, None, prefix="f")
    body: JsonObject = {"name": "more", "transport": "builtin"}

    for words in ({"prefix": "f"}, {"prefix": "files"}, {"name": "f"}):
        told = await desk.ask("POST", "gateways", {**body, **words})
        assert (told.status, told.code) == (409, "core.record.taken")

    assert (await desk.ask("POST", "gateways", {**body, "prefix": "a__b"})).status == 400
