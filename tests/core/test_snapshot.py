"""The snapshot: what callers see, look-ups, publication, propagation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest
from sqlalchemy.exc import OperationalError

from spindle.store import Store, TokenRow
from spindle_spi.catalog import ChangeKind, RecordChange
from spindle_spi.errors import Conflict, InvalidArgument
from spindle_spi.policy import visible
from spindle_spi.records import Kind, PublishedRecord, Target, ToolSpec, Visibility
from tests.core.heart import Heart, open_heart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path


@pytest.fixture
async def heart(tmp_path: Path) -> AsyncGenerator[Heart]:
    async with open_heart(tmp_path) as heart:
        yield heart


def tool(name: str, description: str = "") -> PublishedRecord:
    spec = ToolSpec(gateway="demo", upstream_name=name, input_schema={"type": "object"})
    return PublishedRecord(kind=Kind.TOOL, name=f"demo__{name}", spec=spec, description=description)


async def test_a_list_is_exactly_what_can_be_seen(heart: Heart) -> None:
    """For every caller and kind: in the list if and only if visible, and found by name."""
    callers = [
        await heart.caller("red"),
        await heart.caller("blue"),
        await heart.caller(),
        await heart.caller(admin=True, role="platform_admin"),
    ]
    snapshot = heart.core.snapshots.current

    for caller in callers:
        view = snapshot.view(caller)

        for kind in Kind:
            expected = [record for record in snapshot.by_kind[kind] if visible(caller, record)]
            assert list(view.records[kind]) == expected
            assert all(
                snapshot.see(caller, Target(kind=kind, name=record.name)) == record
                for record in expected
            )


async def test_view_keys_are_equal_exactly_when_lists_are(heart: Heart) -> None:
    """Two tokens of one team share a key; another team's differs; a change changes it."""
    red, red_too, blue = (
        await heart.caller("red"),
        await heart.caller("red"),
        await heart.caller("blue"),
    )
    key = heart.core.identity.view_key
    assert key(red, Kind.MODEL) == key(red_too, Kind.MODEL)
    assert key(red, Kind.MODEL) != key(blue, Kind.MODEL)
    assert key(red, Kind.TOOL) == key(blue, Kind.TOOL)
    before = key(red, Kind.TOOL)
    heart.core.snapshots.publish("mcp", "gateway:demo", [tool("echo")])
    after = key(red, Kind.TOOL)
    assert after != before
    heart.core.snapshots.publish("mcp", "gateway:demo", [tool("echo", "another text")])
    assert key(red, Kind.TOOL) not in (before, after)


async def test_publishing_replaces_what_the_source_had(heart: Heart) -> None:
    """Gone from the source is gone from the catalog; what stays keeps its identity and epoch."""
    snapshots = heart.core.snapshots
    snapshots.publish("mcp", "gateway:demo", [tool("echo"), tool("add")])
    kept = snapshots.current.by_name[Kind.TOOL, "demo__echo"]
    snapshots.publish("mcp", "gateway:demo", [tool("echo")])
    assert snapshots.current.by_name[Kind.TOOL, "demo__echo"] == kept
    assert (Kind.TOOL, "demo__add") not in snapshots.current.by_name
    snapshots.publish("mcp", "gateway:demo", [tool("echo", "changed")])
    changed = snapshots.current.by_name[Kind.TOOL, "demo__echo"]
    assert changed.id == kept.id
    assert changed.epoch > kept.epoch
    assert changed.visibility is Visibility.PUBLIC


async def test_only_a_source_of_its_own_may_publish(heart: Heart) -> None:
    """A module cannot publish for another's gateway, nor take a name that is given."""
    snapshots = heart.core.snapshots

    with pytest.raises(InvalidArgument):
        snapshots.publish("llm", "gateway:demo", [tool("echo")])

    with pytest.raises(InvalidArgument):
        snapshots.publish("mcp", "gateway:absent", [tool("echo")])

    with pytest.raises(Conflict):
        snapshots.publish("mcp", "gateway:demo", [replace(tool("echo"), name="ask")])


async def test_changes_are_told_to_listeners(heart: Heart) -> None:
    """Added, updated, removed, each once."""
    told: list[RecordChange] = []

    def listen(changes: Sequence[RecordChange]) -> None:
        told.extend(changes)

    stop = heart.core.snapshots.listen(listen)
    heart.core.snapshots.publish("mcp", "gateway:demo", [tool("echo")])
    heart.core.snapshots.publish("mcp", "gateway:demo", [tool("echo", "x")])
    heart.core.snapshots.publish("mcp", "gateway:demo", [])
    assert [change.change for change in told] == [
        ChangeKind.ADDED,
        ChangeKind.UPDATED,
        ChangeKind.REMOVED,
    ]
    stop()
    heart.core.snapshots.publish("mcp", "gateway:demo", [tool("echo")])
    assert len(told) == 3


async def test_what_another_process_revokes_is_in_force_within_a_second(
    heart: Heart, tmp_path: Path
) -> None:
    """A second connection to the same store revokes; the follower notices."""
    text = await heart.token("red")
    caller = heart.resolve(text)
    other = await Store.open(heart.core.settings.store_url)

    async with anyio.create_task_group() as group:
        group.start_soon(heart.core.snapshots.run)
        assert caller.subject.token_id is not None
        await other.tokens.revoke(caller.subject.token_id)

        with anyio.fail_after(1):
            while heart.core.identity.is_current(caller.subject):
                await anyio.sleep(0.01)

        group.cancel_scope.cancel()

    await other.close()


async def test_an_alias_finds_the_model_and_never_shadows_a_name(heart: Heart) -> None:
    """`azure` is another word for `up~blue`, with the same visibility."""
    red, blue = await heart.caller("red"), await heart.caller("blue")
    target = Target(kind=Kind.MODEL, name="azure")
    snapshot = heart.core.snapshots.current
    assert snapshot.see(red, target) is None
    found = snapshot.see(blue, target)
    assert found is not None
    assert found.name == "up~blue"
    assert snapshot.see(blue, Target(kind=Kind.MODEL, name=found.id, by_id=True)) == found
    assert snapshot.see(blue, Target(kind=Kind.TOOL, name=found.id, by_id=True)) is None


async def test_the_follower_outlives_a_store_that_cannot_be_read(
    heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away, or holding what this version cannot read: the last snapshot stays, then it goes on."""
    store = heart.core.store
    monkeypatch.setattr(heart.core.snapshots, "_poll_seconds", 0.001)
    real = store.revision
    faults = [
        OSError("away"),
        OperationalError("select", None, Exception()),
        ValueError("new kind"),
    ]
    before = heart.core.snapshots.current

    async def revision() -> int:
        if faults:
            raise faults.pop()

        return await real()

    monkeypatch.setattr(store, "revision", revision)

    async with anyio.create_task_group() as group:
        group.start_soon(heart.core.snapshots.run)

        with anyio.fail_after(5):
            while faults:
                await anyio.sleep(0.001)

            assert heart.core.snapshots.current is before
            await store.catalog.delete(Kind.SERVER, "desk")

            while (Kind.SERVER, "desk") in heart.core.snapshots.current.by_name:
                await anyio.sleep(0.001)

        group.cancel_scope.cancel()


async def test_refreshes_at_the_same_time_never_go_back(
    heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who read the store first does not show it last; a publication in between stays."""
    store, snapshots = heart.core.store, heart.core.snapshots
    real = store.tokens.all
    held, first = anyio.Event(), True
    seen: list[int] = []
    snapshots.listen(lambda changes: seen.append(snapshots.current.revision))

    async def tokens() -> tuple[TokenRow, ...]:
        nonlocal first

        if first:
            first = False
            await held.wait()

        return await real()

    monkeypatch.setattr(store.tokens, "all", tokens)

    async with anyio.create_task_group() as group:
        group.start_soon(snapshots.refresh)
        await anyio.wait_all_tasks_blocked()
        await store.catalog.delete(Kind.SERVER, "desk")
        snapshots.publish("mcp", "gateway:demo", [tool("echo")])
        assert (Kind.SERVER, "desk") in snapshots.current.by_name
        group.start_soon(snapshots.refresh)

        # Time enough for the second one to overtake, if it could.
        with anyio.move_on_after(0.3):
            while (Kind.SERVER, "desk") in snapshots.current.by_name:
                await anyio.sleep(0.001)

        held.set()

    assert seen == sorted(seen)
    assert snapshots.current.revision == await store.revision()
    assert (Kind.SERVER, "desk") not in snapshots.current.by_name
    assert (Kind.TOOL, "demo__echo") in snapshots.current.by_name


async def test_views_are_bounded(heart: Heart, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many callers as there are: the cache stays small and right."""
    monkeypatch.setattr("spindle.snapshot._MAX_VIEWS", 2)
    snapshot = heart.core.snapshots.current
    caller = await heart.caller("red")
    key = snapshot.view(caller).key

    for number in range(5):
        other = replace(caller, subject=replace(caller.subject, user_email=f"{number}@example.org"))
        assert snapshot.view(other).key == key

    assert snapshot.view(caller).key == key
    assert snapshot.cached_views() <= 2
