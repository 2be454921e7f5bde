"""Users, service accounts, teams, members and roles over the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spindle_spi.context import TraceContext

if TYPE_CHECKING:
    from tests.core.directory.office import Office

ADA, BOB, EVE = "ada@example.org", "bob@example.org", "eve@example.org"


@pytest.mark.requirement("002-12-auth")
async def test_a_user_is_made_shown_changed_and_deleted(office: Office, admin: str) -> None:
    """The e-mail is the key, in lower case; each state has its tag."""
    made = await office.ask(
        "POST", "/users", {"email": "Ada@Example.org", "name": "Ada", "role": "viewer"}, token=admin
    )
    assert (made.status, made.headers["location"]) == (201, f"/admin/api/v1/users/{ADA}")
    assert made.json["email"] == ADA
    shown = await office.ask("GET", "/users/ADA@example.org", token=admin)
    assert (shown.json, shown.etag) == (made.json, made.etag)
    changed = await office.ask(
        "PATCH", f"/users/{ADA}", {"role": None, "name": "A."}, token=admin, match=made.etag
    )
    assert (changed.json["role"], changed.json["name"]) == (None, "A.")
    assert changed.etag != made.etag
    listed = await office.ask("GET", "/users?limit=1", token=admin)
    assert [user["email"] for user in listed.json["items"]] == [ADA]
    assert (await office.ask("DELETE", f"/users/{ADA}", token=admin)).status == 204
    assert (await office.ask("GET", f"/users/{ADA}", token=admin)).status == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"email": "no address"}, "invalid_argument"),
        ({"email": "x@service.spindle"}, "invalid_argument"),
        ({"email": EVE, "role": "king"}, "invalid_argument"),
        ({"email": EVE, "wings": 2}, "invalid_argument"),
        ({"email": EVE, "name": "x" * 201}, "invalid_argument"),
    ],
)
async def test_what_is_no_user_is_refused(
    office: Office, admin: str, body: dict[str, object], code: str
) -> None:
    """Bad addresses, unknown roles, unknown keys; nothing is made."""
    answer = await office.ask("POST", "/users", body, token=admin)
    assert (answer.status, answer.code) == (400, code)
    assert (await office.ask("GET", "/users", token=admin)).json["items"] == []


@pytest.mark.parametrize("path", ["/users/ada@example.org", "/teams/red", "/roles/helper"])
async def test_the_second_of_two_administrators_who_edit_one_record_is_told(
    office: Office, admin: str, path: str
) -> None:
    """412: what they read is not what is there any more; nothing is lost."""
    await office.ask("POST", "/users", {"email": ADA}, token=admin)
    await office.ask("POST", "/teams", {"name": "red"}, token=admin)
    role = {"name": "helper", "permissions": ["tools.read"]}
    await office.ask("POST", "/roles", role, token=admin)
    key = "name" if "users" in path else "description"
    read = await office.ask("GET", path, token=admin)
    first = await office.ask("PATCH", path, {key: "one"}, token=admin, match=read.etag)
    second = await office.ask("PATCH", path, {key: "two"}, token=admin, match=read.etag)
    assert (first.status, second.status, second.code) == (200, 412, "core.record.changed")
    assert (await office.ask("GET", path, token=admin)).json[key] == "one"
    late = await office.ask("DELETE", path, token=admin, match=read.etag)
    assert late.status == 412


async def test_a_taken_name_is_a_conflict(office: Office, admin: str) -> None:
    """The same user, service account, team or role twice; built-in roles are taken."""
    bodies: tuple[tuple[str, dict[str, object]], ...] = (
        ("/users", {"email": ADA}),
        ("/service-accounts", {"name": "night job"}),
        ("/teams", {"name": "red"}),
        ("/roles", {"name": "helper", "permissions": []}),
    )

    for path, body in bodies:
        assert (await office.ask("POST", path, body, token=admin)).status == 201
        assert (await office.ask("POST", path, body, token=admin)).status == 409

    built_in = {"name": "viewer", "permissions": ["*"]}
    assert (await office.ask("POST", "/roles", built_in, token=admin)).status == 409


async def test_a_disabled_user_is_out_at_once_and_back_when_enabled(
    office: Office, admin: str
) -> None:
    """Every token of theirs is dead meanwhile, open calls under it end."""
    text = await office.user(admin, ADA, role="viewer")
    context = office.core.identity.resolve(
        credential=text, client_ip=None, trace=TraceContext(request_id="r")
    )
    assert (await office.ask("GET", "/me", token=text)).json["user"] == ADA
    await office.ask("PATCH", f"/users/{ADA}", {"disabled": True}, token=admin)
    assert (await office.ask("GET", "/me", token=text)).status == 401
    assert not office.core.identity.is_current(context.subject)
    await office.ask("PATCH", f"/users/{ADA}", {"disabled": False}, token=admin)
    assert (await office.ask("GET", "/me", token=text)).status == 200
    assert not office.core.identity.is_current(context.subject)


async def test_the_tokens_of_a_deleted_user_stay_dead(office: Office, admin: str) -> None:
    """Even when somebody gets the same e-mail again."""
    text = await office.user(admin, ADA, role="viewer")
    assert (await office.ask("DELETE", f"/users/{ADA}", token=admin)).status == 204
    assert (await office.ask("GET", "/me", token=text)).status == 401
    await office.ask("POST", "/users", {"email": ADA, "role": "developer"}, token=admin)
    assert (await office.ask("GET", "/me", token=text)).status == 401


async def test_the_last_administrator_cannot_be_locked_out(office: Office, admin: str) -> None:
    """Not disabled, demoted or deleted, and no last token revoked: whichever comes last stays."""
    mine = await office.user(admin, ADA, role="platform_admin", is_admin=True)
    tokens = await office.core.store.tokens.all()
    given = next(row for row in tokens if row.name == "given")
    assert (await office.ask("DELETE", f"/tokens/{given.id}", token=mine)).status == 204

    for change in ({"disabled": True}, {"is_admin": False}, {"role": "viewer"}):
        answer = await office.ask("PATCH", f"/users/{ADA}", change, token=mine)
        assert (answer.status, answer.code) == (409, "core.administrator.last")

    assert (await office.ask("DELETE", f"/users/{ADA}", token=mine)).status == 409
    await office.user(mine, BOB, role="platform_admin", is_admin=True)
    assert (await office.ask("PATCH", f"/users/{ADA}", {"role": None}, token=mine)).status == 200


async def test_the_last_administrators_token_cannot_be_revoked(office: Office, admin: str) -> None:
    """Nor can it be made to end, or to hold for a team alone; it can be rotated."""
    (row,) = await office.core.store.tokens.all()

    for change in ({"teams": ["red"]}, {"permissions": ["tools.*"]}):
        answer = await office.ask("PATCH", f"/tokens/{row.id}", change, token=admin)
        assert (answer.status, answer.code) == (409, "core.administrator.last")

    assert (await office.ask("DELETE", f"/tokens/{row.id}", token=admin)).status == 409
    rotated = await office.ask("POST", f"/tokens/{row.id}/rotate", token=admin)
    assert rotated.status == 200
    assert (await office.ask("GET", "/me", token=admin)).status == 401
    assert (await office.ask("GET", "/me", token=rotated.json["token"])).status == 200


async def test_an_edit_of_a_role_must_leave_an_administrator(office: Office, admin: str) -> None:
    """A custom role that carries everything is as good as the built-in one, until it does not."""
    await office.ask("POST", "/roles", {"name": "root", "permissions": ["*"]}, token=admin)
    mine = await office.user(admin, ADA, role="root", is_admin=True)
    given = (await office.core.store.tokens.all())[0]
    assert (await office.ask("DELETE", f"/tokens/{given.id}", token=mine)).status == 204
    answer = await office.ask("PATCH", "/roles/root", {"permissions": ["users.*"]}, token=mine)
    assert (answer.status, answer.code) == (409, "core.administrator.last")
    assert (await office.ask("GET", "/roles/root", token=mine)).json["permissions"] == ["*"]


async def test_a_user_sees_themselves_and_their_team_mates(office: Office, admin: str) -> None:
    """Whom they do not see is absent, byte for byte."""
    await office.ask(
        "POST", "/roles", {"name": "reader", "permissions": ["users.read"]}, token=admin
    )
    await office.team(admin, "red")
    await office.team(admin, "blue")
    mine = await office.user(admin, ADA, role="reader", red="viewer")
    await office.user(admin, BOB, red="viewer")
    await office.user(admin, EVE, blue="viewer")
    listed = await office.ask("GET", "/users", token=mine)
    assert [user["email"] for user in listed.json["items"]] == [ADA, BOB]

    for user in listed.json["items"]:
        assert (await office.ask("GET", f"/users/{user['email']}", token=mine)).status == 200

    hidden = await office.ask("GET", f"/users/{EVE}", token=mine)
    await office.ask("DELETE", f"/users/{EVE}", token=admin)
    absent = await office.ask("GET", f"/users/{EVE}", token=mine)
    assert hidden.status == absent.status == 404
    assert hidden.json["error"]["message"] == absent.json["error"]["message"]
    assert hidden.json["error"]["code"] == absent.json["error"]["code"]


async def test_nobody_makes_or_changes_somebody_above_themselves(
    office: Office, admin: str
) -> None:
    """A helper who keeps users gives no role they do not have, and touches no administrator."""
    held = {"name": "helper", "permissions": ["users.*", "roles.*", "tools.read", "teams.*"]}
    await office.ask("POST", "/roles", held, token=admin)
    await office.team(admin, "red")
    helper = await office.user(admin, ADA, role="helper", red="helper")
    await office.user(admin, BOB, role="platform_admin", is_admin=True, red="viewer")

    for method, path, body in (
        ("POST", "/users", {"email": EVE, "role": "developer"}),
        ("POST", "/users", {"email": EVE, "is_admin": True}),
        ("PATCH", f"/users/{BOB}", {"disabled": True}),
        ("PATCH", f"/users/{BOB}", {"role": "helper", "is_admin": False}),
        ("PATCH", f"/users/{ADA}", {"role": "platform_admin"}),
        ("PATCH", f"/users/{ADA}", {"is_admin": True}),
        ("DELETE", f"/users/{BOB}", None),
        ("POST", "/roles", {"name": "more", "permissions": ["llm.invoke"]}),
        ("PATCH", "/roles/helper", {"permissions": ["*"]}),
        ("PUT", f"/teams/red/members/{ADA}", {"role": "team_admin"}),
        ("PUT", f"/teams/red/members/{BOB}", {"role": "helper"}),
        ("DELETE", f"/teams/red/members/{BOB}", None),
        ("POST", "/invitations", {"team": "red", "role": "developer"}),
        ("POST", "/invitations", {"team": "red", "role": "helper", "platform_role": "viewer"}),
        ("POST", "/teams", {"name": "green"}),
    ):
        answer = await office.ask(method, path, body, token=helper)
        assert answer.status == 403, (method, path, answer.body)

    fine = await office.ask("POST", "/users", {"email": EVE, "role": "helper"}, token=helper)
    assert fine.status == 201


async def test_a_service_account_is_a_user_that_never_logs_in(office: Office, admin: str) -> None:
    """It has an address nobody has, tokens, and no administrator's flag."""
    made = await office.ask(
        "POST", "/service-accounts", {"name": "Night Job", "role": "viewer"}, token=admin
    )
    email = made.json["email"]
    assert (email, made.json["is_service"]) == ("night-job@service.spindle", True)
    token = await office.ask("POST", "/tokens", {"user": email}, token=admin)
    me = await office.ask("GET", "/me", token=token.json["token"])
    assert (me.json["user"], "llm.read" in me.json["permissions"]) == (email, True)
    await office.user(admin, ADA)
    services = await office.ask("GET", "/service-accounts", token=admin)
    assert [user["email"] for user in services.json["items"]] == [email]
    assert (await office.ask("GET", f"/service-accounts/{ADA}", token=admin)).status == 404
    refused = await office.ask("PATCH", f"/users/{email}", {"is_admin": True}, token=admin)
    assert refused.status == 400


async def test_a_team_that_is_in_use_stays(office: Office, admin: str) -> None:
    """Members, records and tokens are named; an empty team goes."""
    await office.team(admin, "red")
    await office.user(admin, ADA, red="viewer")
    await office.give(teams=("red",), name="cron")
    answer = await office.ask("DELETE", "/teams/red", token=admin)
    assert (answer.status, answer.code) == (409, "core.team.in_use")
    assert f"the member {ADA}" in answer.json["error"]["message"]
    assert "the token 'cron'" in answer.json["error"]["message"]
    await office.ask("DELETE", f"/teams/red/members/{ADA}", token=admin)
    cron = next(row for row in await office.core.store.tokens.all() if row.name == "cron")
    await office.ask("DELETE", f"/tokens/{cron.id}", token=admin)
    assert (await office.ask("DELETE", "/teams/red", token=admin)).status == 204
    assert (await office.ask("DELETE", "/teams/red", token=admin)).status == 404


async def test_a_role_in_use_stays_and_built_in_ones_are_not_changed(
    office: Office, admin: str
) -> None:
    """Who has it is named."""
    role = {"name": "helper", "permissions": ["tools.read", "tools.*", "tools.read"]}
    made = await office.ask("POST", "/roles", role, token=admin)
    assert made.json["permissions"] == ["tools.*", "tools.read"]
    await office.team(admin, "red")
    await office.user(admin, ADA, role="helper", red="helper")
    await office.give(role="", permissions=("*",), name="plain")
    named = {"unowned": True, "role": "helper", "name": "cron"}
    await office.ask("POST", "/tokens", named, token=admin)
    await office.ask("POST", "/invitations", {"team": "red", "role": "helper"}, token=admin)
    answer = await office.ask("DELETE", "/roles/helper", token=admin)
    assert (answer.status, answer.code) == (409, "core.role.in_use")

    for words in (f"the user {ADA}", "the member", "the token 'cron'", "an open invitation"):
        assert words in answer.json["error"]["message"]

    assert (await office.ask("DELETE", "/roles/viewer", token=admin)).status == 409
    changed = await office.ask("PATCH", "/roles/viewer", {"permissions": ["*"]}, token=admin)
    assert (changed.status, changed.code) == (409, "core.role.built_in")
    free = await office.ask("POST", "/roles", {"name": "x", "permissions": []}, token=admin)
    assert free.status == 201
    assert (await office.ask("DELETE", "/roles/x", token=admin)).status == 204


@pytest.mark.parametrize("permission", ["tools.fly", "wings.*", "*.*", "tools", "", "tools.*x"])
async def test_a_custom_role_has_permissions_that_exist(
    office: Office, admin: str, permission: str
) -> None:
    """A typing error must not look like a right."""
    body = {"name": "x", "permissions": ["tools.read", permission]}
    answer = await office.ask("POST", "/roles", body, token=admin)
    assert (answer.status, answer.code) == (400, "invalid_argument")
