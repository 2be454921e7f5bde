"""Lists, look-ups, admission, settling and leases: the fake host decides like the core."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spindle_spi.auth import ResolveCallerRequest
from spindle_spi.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from tests.conformance.fakes.sides import DONE, OPEN, RED, Side, refused


async def test_a_list_is_what_a_caller_sees_in_pages(side: Side) -> None:
    """By name; equal keys mean equal lists, also beyond the page."""
    catalog, red, blue = (
        side.services().catalog,
        await side.caller("red"),
        await side.caller("blue"),
    )
    first = await catalog.list(red, Kind.MODEL, limit=1)
    second = await catalog.list(red, Kind.MODEL, limit=1, cursor=first.next_cursor)
    assert [record.name for record in (*first.records, *second.records)] == ["up~open", "up~red"]
    assert (first.next_cursor is None, second.next_cursor) == (False, None)
    assert first.view_key == second.view_key == await catalog.view_key(red, Kind.MODEL)
    assert first.view_key == await catalog.view_key(await side.caller("red"), Kind.MODEL)
    assert first.view_key != await catalog.view_key(blue, Kind.MODEL)
    assert (await refused(catalog.list(red, Kind.MODEL, cursor="?!")))[1] == "core.cursor"
    assert (await refused(catalog.list(red, Kind.MODEL, limit=0)))[1] == "core.limit"
    nobody = await side.caller("red", permissions=("tools.read",))
    assert await refused(catalog.list(nobody, Kind.MODEL)) == (
        PermissionDenied,
        "permission_denied",
        "This token lacks the permission llm.read.",
    )


async def test_a_record_is_found_by_name_alias_slug_and_id(side: Side) -> None:
    """Only by who sees it; what is hidden is answered like what is absent."""
    catalog, blue = side.services().catalog, await side.caller("blue")
    found = await catalog.fetch(blue, Target(kind=Kind.MODEL, name="azure"))
    assert found.name == "up~blue"
    by_id = Target(kind=Kind.MODEL, name=found.id, by_id=True)
    assert await catalog.fetch(blue, by_id) == found
    desk = await catalog.fetch(blue, Target(kind=Kind.SERVER, name="desk"))
    assert (await catalog.fetch(blue, OPEN)).server_ids == (desk.id,)

    for name in ("up~red", "up~nil"):
        target = Target(kind=Kind.MODEL, name=name)
        said = f"The model {name!r} does not exist."
        assert await refused(catalog.fetch(blue, target)) == (
            NotFound,
            "core.model.not_found",
            said,
        )

    assert await refused(catalog.fetch(blue, replace(by_id, kind=Kind.TOOL))) == (
        NotFound,
        "core.tool.not_found",
        f"The tool {found.id!r} does not exist.",
    )


async def test_a_virtual_server_narrows_what_is_seen(side: Side) -> None:
    """To its own members, and to itself."""
    auth, catalog = side.services().auth, side.services().catalog
    said = ("authorization", f"Bearer {await side.token('red')}")
    desk = await catalog.fetch(await side.caller("red"), Target(kind=Kind.SERVER, name="desk"))
    narrowed = await auth.resolve_caller(
        ResolveCallerRequest(transport="stdio", headers=(said,), requested_server_id=desk.id)
    )
    assert [one.name for one in (await catalog.list(narrowed, Kind.MODEL)).records] == ["up~open"]
    assert [one.id for one in (await catalog.list(narrowed, Kind.SERVER)).records] == [desk.id]


async def test_callers_are_resolved_by_what_they_say(side: Side) -> None:
    """A token that is not known, or said twice, is none; a public server may take nobody."""
    auth, catalog = side.services().auth, side.services().catalog
    red = await side.caller("red")
    lobby = await catalog.fetch(red, Target(kind=Kind.SERVER, name="lobby"))

    def asking(*headers: tuple[str, str], server: str | None = None) -> ResolveCallerRequest:
        return ResolveCallerRequest(
            transport="stdio", headers=headers, requested_server_id=server, client_ip="127.0.0.1"
        )

    said = ("X-Api-Key", await side.token("red"))
    one, other = await auth.resolve_caller(asking(said)), await auth.resolve_caller(asking(said))
    assert one.subject.token_teams == ("red",)
    assert one.trace.request_id != other.trace.request_id
    nobody = await auth.resolve_caller(asking(server=lobby.id))
    assert (nobody.subject.token_id, nobody.visibility_scope.server_id) == (None, lobby.id)
    assert "servers.use" in nobody.visibility_scope.permissions
    assert (await refused(auth.resolve_caller(asking(said, said))))[0] is InvalidArgument
    assert (await refused(auth.resolve_caller(asking())))[0] is Unauthenticated
    assert (await refused(auth.resolve_caller(asking(("x-api-key", "no")))))[0] is Unauthenticated
    assert (await refused(auth.resolve_caller(asking(said, server="nowhere"))))[0] is NotFound


async def test_questions_about_access_are_answered_without_admitting(side: Side) -> None:
    """What is hidden is not found, whatever is asked."""
    auth, red = side.services().auth, await side.caller("red", permissions=("llm.read",))
    assert not (await auth.check_permission(red, "llm.invoke")).allowed
    assert (await auth.check_catalog_access(red, OPEN, Action.READ)).allowed
    assert not (await auth.check_catalog_access(red, OPEN, Action.EXECUTE)).allowed
    hidden = Target(kind=Kind.MODEL, name="up~blue")
    assert (await refused(auth.check_catalog_access(red, hidden, Action.READ)))[0] is NotFound
    assert side.statuses() == {}


async def test_hidden_comes_before_forbidden(side: Side) -> None:
    """A caller who may do nothing still learns nothing of what is hidden."""
    catalog, nobody = side.services().catalog, await side.caller("blue", permissions=())
    assert (await refused(catalog.admit(nobody, RED, Action.EXECUTE)))[0] is NotFound
    assert await refused(catalog.admit(nobody, OPEN, Action.EXECUTE)) == (
        PermissionDenied,
        "permission_denied",
        "This token lacks the permission llm.invoke on the model 'up~open'.",
    )


async def test_a_permit_carries_what_serves_and_what_may_serve(side: Side) -> None:
    """Backend, fallbacks the caller sees, limits; it belongs to the request."""
    catalog, red = side.services().catalog, await side.caller("red")
    permit = await catalog.admit(red, OPEN, Action.EXECUTE)
    assert permit.backend is not None
    assert permit.backend.name == "up"
    assert [record.name for record in permit.alternatives] == ["up~red"]
    assert [record.name for record in permit.alternative_backends] == ["up"]
    assert (permit.limits.timeout, permit.limits.max_attempts) == (180.0, 2)
    assert permit.lease_id == red.trace.request_id
    assert permit.hooks.request == permit.hooks.answer == ()


async def test_a_permit_is_settled_once_by_the_module_that_holds_it(side: Side) -> None:
    """Another module's permit is no permit."""
    mine, theirs = side.services("llm").catalog, side.services("mcp").catalog
    permit = await mine.admit(await side.caller("red"), OPEN, Action.EXECUTE)
    missing = (NotFound, "core.permit.not_found", "No such permit.")
    assert await refused(theirs.settle(permit.id, DONE)) == missing
    await mine.settle(permit.id, DONE)
    assert await refused(mine.settle(permit.id, DONE)) == missing
    assert await refused(mine.settle("permit-of-nobody", DONE)) == missing
    assert side.statuses() == {"ok": 1}


async def test_a_permit_nobody_settles_is_lost_with_its_request(side: Side) -> None:
    """Once; settling it later is refused."""
    catalog, red = side.services().catalog, await side.caller("red")
    permit = await catalog.admit(red, OPEN, Action.EXECUTE)
    await side.end_request(red)
    await side.end_request(red)
    assert (await refused(catalog.settle(permit.id, DONE)))[0] is NotFound
    assert side.statuses() == {"lost": 1}


async def test_a_lease_keeps_permits_beyond_their_request(side: Side) -> None:
    """Until it is closed; a stranger cannot lean on it, and nobody after its end."""
    catalog, red = side.services().catalog, await side.caller("red")
    lease = await catalog.open_lease(red, 60)
    permit = await catalog.admit(red, OPEN, Action.EXECUTE, lease_id=lease.id)
    assert permit.lease_id == lease.id
    ended = (NotFound, "core.lease.not_found", "The lease has ended.")
    other = await side.caller("red")
    assert await refused(catalog.admit(other, OPEN, Action.EXECUTE, lease_id=lease.id)) == ended
    await side.end_request(red)
    await catalog.settle(permit.id, DONE)
    late = await catalog.admit(red, OPEN, Action.EXECUTE, lease_id=lease.id)
    assert (await catalog.renew_lease(lease.id, 120)).expires_at > lease.expires_at
    await catalog.close_lease(lease.id)
    await catalog.close_lease(lease.id)
    assert await refused(catalog.renew_lease(lease.id, 60)) == ended
    assert await refused(catalog.admit(red, OPEN, Action.EXECUTE, lease_id=lease.id)) == ended
    assert (await refused(catalog.settle(late.id, DONE)))[0] is NotFound
    assert side.statuses() == {"ok": 1, "lost": 1}


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
async def test_a_lease_without_time_is_over_at_once(side: Side, seconds: float) -> None:
    """Whatever it is that is no time."""
    catalog, red = side.services().catalog, await side.caller("red")
    lease = await catalog.open_lease(red, seconds)
    assert (await refused(catalog.renew_lease(lease.id, 60)))[0] is NotFound
