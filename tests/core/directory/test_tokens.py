"""Tokens over the control plane: whose they are, what they are worth, when they end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from spindle.core import Core
from spindle.store import Store
from spindle.token_uses import TokenUses
from spindle_spi.context import TraceContext
from spindle_spi.errors import Unauthenticated

if TYPE_CHECKING:
    from tests.core.directory.office import Office

ADA, BOB = "ada@example.org", "bob@example.org"


async def made(office: Office, token: str, **wish: Any) -> Any:
    """Make a token that must be made."""
    reply = await office.ask("POST", "/tokens", wish, token=token)
    assert reply.status == 201, reply.body
    return reply.json


@pytest.mark.requirement("002-12-auth")
async def test_a_token_is_shown_once_and_kept_as_a_hash(office: Office, admin: str) -> None:
    """256 random bits behind a prefix; no later answer has the text."""
    text = await office.user(admin, ADA, role="developer")
    new = await made(office, text, name="laptop")
    assert new["token"].startswith("spn_")
    assert len(new["token"]) >= 4 + 43
    listed = await office.ask("GET", "/tokens", token=text)
    one = await office.ask("GET", f"/tokens/{new['id']}", token=text)
    rows = await office.core.store.tokens.all()

    for shown in (listed.body.decode(), one.body.decode(), str(rows)):
        assert new["token"] not in shown

    assert one.json == {key: new[key] for key in one.json}
    assert (new["created_by"], new["permissions"], new["teams"]) == (ADA, ["*"], None)


async def test_a_developer_sees_and_makes_their_own_tokens_only(office: Office, admin: str) -> None:
    """Another's token is absent, byte for byte, on every route."""
    await office.team(admin, "red")
    mine = await office.user(admin, ADA, role="developer", red="developer")
    await office.user(admin, BOB, role="developer", red="developer")
    rows = await office.core.store.tokens.all()
    theirs = next(row for row in rows if row.user_email == BOB)
    own = next(row for row in rows if row.user_email == ADA)
    listed = await office.ask("GET", "/tokens", token=mine)
    assert [token["id"] for token in listed.json["items"]] == [own.id]

    for method, path, body in (
        ("GET", "/tokens/{}", None),
        ("PATCH", "/tokens/{}", {"name": "x"}),
        ("POST", "/tokens/{}/rotate", None),
        ("DELETE", "/tokens/{}", None),
    ):
        hidden = await office.ask(method, path.format(theirs.id), body, token=mine)
        absent = await office.ask(method, path.format("0" * 32), body, token=mine)
        assert hidden.status == absent.status == 404
        assert hidden.json["error"]["message"] == absent.json["error"]["message"].replace(
            "0" * 32, theirs.id
        )

    for wish in ({"user": BOB}, {"user": "nobody@example.org"}):
        assert (await office.ask("POST", "/tokens", wish, token=mine)).status == 404

    assert (await office.ask("POST", "/tokens", {"unowned": True}, token=mine)).status == 403


async def test_who_administers_a_team_manages_the_tokens_for_it_alone(
    office: Office, admin: str
) -> None:
    """They may end a member's token that holds for the team; to have its text is impersonation."""
    await office.team(admin, "red")
    await office.team(admin, "blue")
    lead = await office.user(admin, ADA, red="team_admin")
    bob = await office.user(admin, BOB, role="developer", red="developer", blue="developer")
    red = await made(office, bob, teams=["red"])
    both = await made(office, bob, teams=["red", "blue"])
    bare = await office.give(teams=("red",), name="cron")
    cron = next(row for row in await office.core.store.tokens.all() if row.name == "cron")
    listed = await office.ask("GET", "/tokens?limit=500", token=lead)
    seen = {token["id"] for token in listed.json["items"]}
    assert {red["id"], cron.id} <= seen
    assert both["id"] not in seen
    assert (await office.ask("POST", f"/tokens/{red['id']}/rotate", token=lead)).status == 403
    assert (await office.ask("DELETE", f"/tokens/{red['id']}", token=lead)).status == 204
    assert (await office.ask("DELETE", f"/tokens/{both['id']}", token=lead)).status == 404
    again = await office.ask("DELETE", f"/tokens/{red['id']}", token=lead)
    assert (again.status, again.code) == (409, "core.token.revoked")
    assert (await office.ask("GET", "/me", token=red["token"])).status == 401
    assert (await office.ask("GET", "/me", token=bare)).status == 200


async def test_a_token_of_a_user_is_worth_what_the_user_is_worth_now(
    office: Office, admin: str
) -> None:
    """Roles, memberships and teams change under it; its own limits stay."""
    await office.team(admin, "red")
    whole = await office.user(admin, ADA, role="viewer", red="developer")
    limits = {"permissions": ["tools.*"], "teams": ["red"]}
    part = await made(office, whole, **limits)
    me = (await office.ask("GET", "/me", token=part["token"])).json
    assert me["permissions"] == ["tools.read"]
    assert me["team_permissions"] == {
        "red": ["tools.create", "tools.execute", "tools.read", "tools.update"]
    }
    await office.ask("PATCH", f"/users/{ADA}", {"role": "developer"}, token=admin)
    me = (await office.ask("GET", "/me", token=part["token"])).json
    assert "tools.execute" in me["permissions"]
    assert "llm.invoke" not in me["permissions"]
    await office.ask("DELETE", f"/teams/red/members/{ADA}", token=admin)
    me = (await office.ask("GET", "/me", token=part["token"])).json
    assert (me["teams"], me["team_permissions"]) == ([], {})


async def test_a_role_edit_is_in_force_in_another_process_with_its_next_snapshot(
    office: Office, admin: str
) -> None:
    """Two stores on one database: for users, members, and tokens that have a role by name."""
    body = {"name": "helper", "permissions": ["tools.read", "llm.read"]}
    await office.ask("POST", "/roles", body, token=admin)
    users = await office.user(admin, ADA, role="helper")
    named = (await made(office, admin, unowned=True, role="helper"))["token"]
    kept = (await made(office, admin, unowned=True, role="helper", permissions=["llm.read"]))[
        "token"
    ]
    settings = office.core.settings
    other = Core(settings, await Store.open(settings.store_url))

    def held(text: str) -> tuple[str, ...]:
        trace = TraceContext(request_id="r")
        found = other.identity.resolve(credential=text, client_ip=None, trace=trace)
        return found.visibility_scope.permissions

    try:
        await other.snapshots.refresh()
        assert held(users) == held(named) == ("llm.read", "tools.read")
        change = {"permissions": ["tools.read", "tools.execute"]}
        await office.ask("PATCH", "/roles/helper", change, token=admin)
        assert await other.store.revision() != other.snapshots.current.revision
        await other.snapshots.refresh()
        assert held(users) == held(named) == ("tools.execute", "tools.read")
        assert held(kept) == ()
        await office.ask("PATCH", f"/users/{ADA}", {"disabled": True}, token=admin)
        await other.snapshots.refresh()

        with pytest.raises(Unauthenticated):
            held(users)
    finally:
        await other.store.close()


async def test_a_token_ends_at_its_moment_not_before_and_not_after(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last moment is the one before `expires_at`, by this machine's clock."""
    text = await office.give(expires_at=2_000_000_000.0)
    trace = TraceContext(request_id="r")
    resolve = office.core.identity.resolve
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0 - 0.001)
    caller = resolve(credential=text, client_ip=None, trace=trace)
    assert office.core.identity.is_current(caller.subject)
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)

    with pytest.raises(Unauthenticated):
        resolve(credential=text, client_ip=None, trace=trace)

    assert not office.core.identity.is_current(caller.subject)


async def test_a_rotated_token_has_a_new_text_and_the_same_settings(
    office: Office, admin: str
) -> None:
    """The old text ends at once; whoever rotates the token they came with sees the new one."""
    mine = await office.user(admin, ADA, role="developer")
    row = next(row for row in await office.core.store.tokens.all() if row.user_email == ADA)
    read = await office.ask("GET", f"/tokens/{row.id}", token=mine)
    path = f"/tokens/{row.id}/rotate"
    rotated = await office.ask("POST", path, token=mine, match=read.etag)
    assert rotated.status == 200
    assert (await office.ask("GET", "/me", token=mine)).status == 401
    text = rotated.json["token"]
    assert (await office.ask("GET", "/me", token=text)).json["user"] == ADA
    late = await office.ask("POST", path, token=text, match=read.etag)
    assert (late.status, late.code) == (412, "core.record.changed")
    shown = (await office.ask("GET", f"/tokens/{row.id}", token=text)).json
    assert shown["id"] == row.id
    assert shown["prefix"] != read.json["prefix"]
    rest = set(shown) - {"prefix", "last_used_at", "last_used_ip"}
    assert {key: shown[key] for key in rest} == {key: read.json[key] for key in rest}


async def test_the_limits_of_a_token_are_changed_within_those_of_the_caller(
    office: Office, admin: str
) -> None:
    """Name, teams, permissions, addresses, hours and end; null takes the end away."""
    await office.team(admin, "red")
    mine = await office.user(admin, ADA, role="developer", red="developer")
    new = await made(office, mine, name="one", expires_at="2099-01-01T00:00:00Z")
    path = f"/tokens/{new['id']}"
    change = {
        "name": "two",
        "teams": ["red"],
        "permissions": ["llm.*"],
        "addresses": ["10.0.0.0/8"],
        "hours": [{"days": [0], "start_minute": 0, "end_minute": 60}],
        "expires_at": None,
    }
    changed = await office.ask("PATCH", path, change, token=mine)
    assert changed.status == 200, changed.body
    assert {key: changed.json[key] for key in change} == change
    assert (await office.ask("GET", "/me", token=new["token"], client="11.1.1.1")).status == 401
    wide = await office.ask("PATCH", path, {"permissions": ["*"]}, token=mine)
    assert wide.status == 200
    assert (await office.ask("DELETE", path, token=mine)).status == 204
    late = await office.ask("PATCH", path, {"name": "three"}, token=mine)
    assert (late.status, late.code) == (409, "core.token.revoked")


@pytest.mark.parametrize(
    "wish",
    [
        {"role": "king"},
        {"role": "viewer", "permissions": ["tools.execute"]},
        {"addresses": ["10.0.0.0/99"]},
        {"hours": [{"days": [7]}]},
        {"hours": [{"start_minute": 60, "end_minute": 60}]},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"teams": [f"t{number}" for number in range(101)]},
        {"name": "x" * 201},
        {"wings": 2},
    ],
)
async def test_a_wish_that_means_nothing_is_refused(
    office: Office, admin: str, wish: dict[str, object]
) -> None:
    """400, and nothing is made."""
    before = await office.core.store.tokens.all()
    answer = await office.ask("POST", "/tokens", wish, token=admin)
    assert answer.status == 400
    assert await office.core.store.tokens.all() == before


async def test_a_token_for_a_hidden_server_is_for_none(office: Office, admin: str) -> None:
    """The server is looked up as the caller sees it."""
    mine = await office.user(admin, ADA, role="developer")
    answer = await office.ask("POST", "/tokens", {"server": "attic"}, token=mine)
    assert answer.status == 404


async def test_last_use_is_written_in_batches_off_the_request_path(
    office: Office, admin: str
) -> None:
    """However many calls there are: one row each, newest first, and no new revision."""
    row = (await office.core.store.tokens.all())[0]
    revision = await office.core.store.revision()

    for client in ("10.0.0.1", "10.0.0.2"):
        await office.ask("GET", "/me", token=admin, client=client)

    assert (await office.core.store.tokens.get(row.id)) == row
    await office.core.uses.flush()
    used = await office.core.store.tokens.get(row.id)
    assert used is not None
    assert used.last_used_ip == "10.0.0.2"
    assert used.last_used_at is not None
    assert await office.core.store.revision() == revision
    await office.core.store.tokens.note_uses({row.id: (1.0, "10.9.9.9")})
    assert await office.core.store.tokens.get(row.id) == used


async def test_what_is_noted_of_uses_is_bounded_and_lost_with_the_store() -> None:
    """A store that is away costs a warning; the request path never waits for it."""
    uses = TokenUses(cast("Store", Away()))

    for number in range(10_050):
        uses.note(f"tok_{number}", None)

    assert uses.pending() == 10_000
    await uses.flush()
    assert uses.pending() == 0
    await uses.flush()


async def test_uses_are_written_while_the_gateway_runs(office: Office, admin: str) -> None:
    """Again and again, until it stops."""
    row = (await office.core.store.tokens.all())[0]
    uses = TokenUses(office.core.store, seconds=0.001)
    uses.note(row.id, "10.0.0.1")

    async with anyio.create_task_group() as group:
        group.start_soon(uses.run)

        with anyio.fail_after(5):
            while uses.pending():
                await anyio.sleep(0.001)

        group.cancel_scope.cancel()

    used = await office.core.store.tokens.get(row.id)
    assert used is not None
    assert used.last_used_ip == "10.0.0.1"
    assert (await office.ask("GET", "/me", token=admin)).status == 200


class Away:
    """A store that cannot be written."""

    @property
    def tokens(self) -> Away:
        return self

    async def note_uses(self, uses: object) -> None:
        del uses
        raise OSError


async def test_nobody_learns_about_themselves_what_they_are_not(office: Office, admin: str) -> None:
    """`/me` tells a token of nobody, a user, and an administrator."""
    bare = await office.give(teams=("red",), expires_at=4_000_000_000.0)
    me = (await office.ask("GET", "/me", token=bare)).json
    assert (me["user"], me["name"], me["teams"]) == (None, "", ["red"])
    assert not me["sees_everything"]
    assert me["expires_at"] == "2096-10-02T07:06:40+00:00"
    whole = (await office.ask("GET", "/me", token=admin)).json
    assert (whole["teams"], whole["sees_everything"]) == (None, True)
    assert (await office.ask("GET", "/me", token=None)).status == 401
