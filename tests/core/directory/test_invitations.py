"""Invitations: a link, once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from spindle.store.logins import External
from spindle.store.rows import UserRow
from spindle_spi.context import TimeWindow
from spindle_spi.errors import Conflict

if TYPE_CHECKING:
    from tests.core.directory.office import Office

ADA, BOB, EVE = "ada@example.org", "bob@example.org", "eve@example.org"


async def invite(office: Office, token: str, **wish: Any) -> Any:
    """Make an invitation to red that must be made."""
    reply = await office.ask("POST", "/invitations", {"team": "red", **wish}, token=token)
    assert reply.status == 201, reply.body
    return reply.json


@pytest.fixture(autouse=True)
async def _red(office: Office, admin: str) -> None:
    await office.team(admin, "red")


async def test_somebody_new_comes_in_by_a_link_and_gets_a_token(office: Office, admin: str) -> None:
    """They are a user and a member; the token holds for the team and is shown once."""
    made = await invite(office, admin, role="developer", platform_role="viewer")
    assert made["link"] == f"/invitations/{made['secret']}"
    offered = await office.ask("GET", made["link"], token=None)
    assert (offered.json["team"], offered.json["role"]) == ("red", "developer")
    assert all(word in offered.json["how"] for word in ("secret", "email", "name"))
    body = {"secret": made["secret"], "name": "Ada", "email": "Ada@example.org"}
    taken = await office.ask("POST", "/invitations/accept", body, token=None)
    assert taken.status == 200, taken.body
    me = (await office.ask("GET", "/me", token=taken.json["token"])).json
    assert (me["user"], me["name"], me["teams"]) == (ADA, "Ada", ["red"])
    assert "llm.invoke" in me["team_permissions"]["red"] or "llm.*" in me["team_permissions"]["red"]
    shown = await office.ask("GET", f"/invitations/{made['id']}", token=admin)
    assert shown.json["accepted_by"] == ADA
    assert "secret" not in shown.json
    listed = await office.ask("GET", "/invitations", token=admin)
    assert made["secret"] not in listed.body.decode()


async def test_a_user_takes_an_invitation_with_their_own_credential(
    office: Office, admin: str
) -> None:
    """They become a member; a member's role is not changed by another invitation."""
    mine = await office.user(admin, ADA)
    made = await invite(office, admin, role="viewer", email=ADA)
    body = {"secret": made["secret"]}
    taken = await office.ask("POST", "/invitations/accept", body, token=mine)
    assert taken.json == {"team": "red", "role": "viewer", "user": ADA}
    again = await invite(office, admin, role="developer")
    await office.ask("POST", "/invitations/accept", {"secret": again["secret"]}, token=mine)
    user = (await office.ask("GET", f"/users/{ADA}", token=admin)).json
    assert user["teams"] == {"red": "viewer"}


async def test_an_invitation_that_is_not_open_is_as_absent_as_one_never_made(
    office: Office, admin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken, revoked, over, for another, for somebody disabled, nonsense: one answer."""
    mine = await office.user(admin, ADA)
    gone = await office.user(admin, EVE)
    await office.ask("PATCH", f"/users/{EVE}", {"disabled": True}, token=admin)
    assert (await office.ask("GET", "/me", token=gone)).status == 401
    taken = await invite(office, admin)
    await office.ask("POST", "/invitations/accept", {"secret": taken["secret"]}, token=mine)
    revoked = await invite(office, admin)
    path = f"/invitations/{revoked['id']}"
    assert (await office.ask("DELETE", path, token=admin)).status == 204
    assert (await office.ask("DELETE", path, token=admin)).status == 409
    bound = await invite(office, admin, email=BOB)
    over = await invite(office, admin, days=0.5)
    answers = [
        await office.ask("POST", "/invitations/accept", {"secret": secret}, token=mine)
        for secret in ("spi_nonsense", taken["secret"], revoked["secret"], bound["secret"])
    ]
    new = {"secret": bound["secret"], "email": "carl@example.org"}
    answers.append(await office.ask("POST", "/invitations/accept", new, token=None))
    answers.append(await office.ask("GET", "/invitations/spi_nonsense", token=None))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_400)
    late = {"secret": over["secret"]}
    answers.append(await office.ask("POST", "/invitations/accept", late, token=mine))
    answers.append(await office.ask("GET", over["link"], token=None))
    assert {answer.status for answer in answers} == {404}
    assert {answer.json["error"]["message"] for answer in answers} == {
        "There is no such invitation."
    }


@pytest.mark.requirement("002-12-auth")
async def test_a_link_never_gives_somebody_elses_account(office: Office, admin: str) -> None:
    """Who is a user already comes with their own credential, and services come never."""
    await office.user(admin, ADA, role="platform_admin", is_admin=True)
    made = await invite(office, admin)
    secret = made["secret"]

    for body, status in (
        ({"secret": secret, "email": ADA}, 409),
        ({"secret": secret, "email": "ADA@EXAMPLE.ORG"}, 409),
        ({"secret": secret, "email": "x@service.spindle"}, 400),
        ({"secret": secret, "email": "nobody"}, 400),
        ({"secret": secret}, 400),
    ):
        answer = await office.ask("POST", "/invitations/accept", body, token=None)
        assert answer.status == status, answer.body
        assert "token" not in answer.json

    nobodys = await office.give(role="viewer")
    answer = await office.ask("POST", "/invitations/accept", {"secret": secret}, token=nobodys)
    assert answer.status == 400
    wrong = await office.ask("POST", "/invitations/accept", {"secret": secret}, token="spn_x")
    assert wrong.status == 401
    assert (await office.ask("GET", made["link"], token=None)).status == 200


async def test_who_leads_a_team_invites_to_it_alone(office: Office, admin: str) -> None:
    """Other teams' invitations are absent; a role above their own is refused."""
    await office.team(admin, "blue")
    lead = await office.user(admin, ADA, red="team_admin")
    mine = await invite(office, lead, role="developer")
    theirs = (await office.ask("POST", "/invitations", {"team": "blue"}, token=admin)).json
    listed = await office.ask("GET", "/invitations", token=lead)
    assert [row["id"] for row in listed.json["items"]] == [mine["id"]]
    assert (await office.ask("GET", f"/invitations/{theirs['id']}", token=lead)).status == 404
    assert (await office.ask("DELETE", f"/invitations/{theirs['id']}", token=lead)).status == 404
    assert (await office.ask("POST", "/invitations", {"team": "blue"}, token=lead)).status == 404

    for wish, status in (
        ({"role": "platform_admin"}, 403),
        ({"platform_role": "viewer"}, 403),
        ({"role": "king"}, 400),
        ({"days": 31}, 400),
        ({"days": 0}, 400),
        ({"email": "nobody"}, 400),
    ):
        answer = await office.ask("POST", "/invitations", {"team": "red", **wish}, token=lead)
        assert answer.status == status, (wish, answer.body)


async def test_a_team_lead_keeps_members_they_see(office: Office, admin: str) -> None:
    """A user of no team of theirs is absent; the roles of members are theirs to change."""
    lead = await office.user(admin, ADA, red="team_admin")
    await office.user(admin, BOB, red="viewer")
    await office.user(admin, EVE)
    put = await office.ask("PUT", f"/teams/red/members/{BOB}", {"role": "developer"}, token=lead)
    assert (put.status, put.json["role"]) == (200, "developer")

    for email in (EVE, "nobody@example.org"):
        body = {"role": "viewer"}
        answer = await office.ask("PUT", f"/teams/red/members/{email}", body, token=lead)
        assert answer.status == 404
        assert (await office.ask("DELETE", f"/teams/red/members/{email}", token=lead)).status == 404

    bad = await office.ask("PUT", f"/teams/red/members/{BOB}", {"role": "king"}, token=lead)
    assert bad.status == 400
    members = await office.ask("GET", "/teams/red/members", token=lead)
    assert [row["email"] for row in members.json["items"]] == [ADA, BOB]
    gone = await office.ask("DELETE", f"/teams/red/members/{BOB}", token=lead)
    assert gone.status == 204
    # And themselves: the answer still arrives.
    assert (await office.ask("DELETE", f"/teams/red/members/{ADA}", token=lead)).status == 204
    assert (await office.ask("GET", "/teams/red/members", token=lead)).status == 403


async def test_a_team_that_is_not_the_callers_is_absent(office: Office, admin: str) -> None:
    """On every route of teams, as one that was never made."""
    await office.team(admin, "blue")
    lead = await office.user(admin, ADA, red="team_admin")
    assert [
        row["name"] for row in (await office.ask("GET", "/teams", token=lead)).json["items"]
    ] == ["red"]

    for method, path, body in (
        ("GET", "/teams/{}", None),
        ("PATCH", "/teams/{}", {"description": "x"}),
        ("DELETE", "/teams/{}", None),
        ("GET", "/teams/{}/members", None),
        ("PUT", "/teams/{}/members/ada@example.org", {"role": "viewer"}),
        ("DELETE", "/teams/{}/members/ada@example.org", None),
    ):
        hidden = await office.ask(method, path.format("blue"), body, token=lead)
        absent = await office.ask(method, path.format("pink"), body, token=lead)
        assert hidden.status == absent.status == 404
        message = absent.json["error"]["message"].replace("pink", "blue")
        assert hidden.json["error"]["message"] == message


@pytest.mark.parametrize(
    "limit",
    [
        {"server_id": "srv"},
        {"ip_restrictions": ("127.0.0.0/8",)},
        {"time_restrictions": (TimeWindow(),)},
    ],
)
async def test_a_credential_that_is_limited_invites_nobody(
    office: Office, limit: dict[str, Any]
) -> None:
    """What a link gives holds everywhere and always: that is more than they have."""
    token = await office.give(role="team_admin", teams=("red",), **limit)
    answer = await office.ask("POST", "/invitations", {"team": "red"}, token=token)
    assert (answer.status, answer.code) == (403, "core.token.above"), answer.body
    assert await office.core.store.invitations.all() == ()


async def test_whoever_is_made_meanwhile_keeps_their_account(
    office: Office, admin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the write somebody may come: the link opens nothing of theirs."""
    made = await invite(office, admin)
    users = office.core.store.users
    look = users.get

    async def look_too_early(email: str) -> UserRow | None:
        found = await look(email)

        if found is None:
            await users.create(UserRow(email=email, role="platform_admin", is_admin=True))

        return found

    monkeypatch.setattr(users, "get", look_too_early)
    body = {"secret": made["secret"], "email": ADA}
    taken = await office.ask("POST", "/invitations/accept", body, token=None)
    assert (taken.status, taken.code) == (409, "core.invitation.known_user"), taken.body
    tokens = await office.core.store.tokens.all()
    assert [row for row in tokens if row.user_email == ADA] == []
    assert (await office.ask("GET", made["link"], token=None)).status == 200


async def test_a_link_gives_no_address_that_a_token_has(office: Office, admin: str) -> None:
    """A token of an address without a user would be worth what that user is, from then on."""
    owned = await office.give(
        user_email=BOB, role="platform_admin", permissions=("*",), is_admin=True, teams=None
    )
    made = await invite(office, admin)
    body = {"secret": made["secret"], "email": BOB}
    taken = await office.ask("POST", "/invitations/accept", body, token=None)
    assert (taken.status, taken.code) == (409, "core.invitation.known_user"), taken.body
    assert (await office.ask("GET", "/me", token=owned)).json["sees_everything"]


async def test_the_last_administrator_is_not_lost_to_a_user_of_their_address(
    office: Office,
) -> None:
    """Whoever makes that user: by hand or by a login."""
    only = await office.give(
        user_email=BOB, role="platform_admin", permissions=("*",), is_admin=True, teams=None
    )
    tokens = office.core.store.tokens

    for row in await tokens.all():
        if row.user_email is None:
            await tokens.revoke(row.id)

    await office.core.snapshots.refresh()
    made = await office.ask("POST", "/users", {"email": BOB}, token=only)
    assert (made.status, made.code) == (409, "core.administrator.last"), made.body
    person = External(
        email=BOB, name="", issuer="i", subject="s", role=None, teams={}, syncs_teams=False
    )

    with pytest.raises(Conflict):
        await office.core.store.logins.welcome(person, creates=True)

    same = {"email": BOB, "is_admin": True, "role": "platform_admin"}
    assert (await office.ask("POST", "/users", same, token=only)).status == 201
    assert (await office.ask("GET", "/me", token=only)).json["sees_everything"]
