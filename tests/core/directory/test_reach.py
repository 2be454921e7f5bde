"""What a role in a team does not reach: what belongs to the platform, and to nobody's team."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.core.directory.office import Office

OWNER = "owner@example.org"
RULES = [{"name": "a", "pattern": "a", "action": "deny"}]
PLUGIN = {"name": "words", "plugin": "regex", "config": {"rules": RULES}}
BUDGET = {"scope": "global", "period": "day", "limit_tokens": 1}
LIMIT = {"scope": "team", "name": "*", "requests_per_minute": 1}


@pytest.fixture
async def owner(office: Office, admin: str) -> str:
    """Somebody who may do everything in one team, and nothing anywhere else."""
    await office.team(admin, "red")
    return await office.user(admin, OWNER, red="platform_admin")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/audit", None),
        ("GET", "/audit/export", None),
        ("POST", "/plugins", PLUGIN),
        ("POST", "/plugins/try", {"entry": PLUGIN, "sample": {"text": "a"}}),
        ("PATCH", "/plugins/words", {"mode": "disabled"}),
        ("DELETE", "/plugins/words", None),
        ("POST", "/plugins/words/try", {"sample": {"text": "a"}}),
        ("GET", "/secrets", None),
        ("POST", "/secrets/rotate", None),
        ("PUT", "/secrets/main", {"value": "another-value"}),
        ("DELETE", "/secrets/main", None),
        ("POST", "/budgets", BUDGET),
        ("POST", "/limits", LIMIT),
        ("POST", "/reload", None),
    ],
)
async def test_a_role_in_a_team_gives_no_right_over_the_platform(
    office: Office, owner: str, method: str, path: str, body: object
) -> None:
    """Everything in one team is nothing of what holds for all of them."""
    answer = await office.ask(method, path, body, token=owner)
    assert answer.status == 403, answer.body
    assert answer.code == "permission_denied", answer.body


@pytest.mark.parametrize(
    ("family", "body", "change"),
    [
        ("budgets", BUDGET | {"scope": "team", "name": "red"}, {"limit_tokens": 1000}),
        ("limits", LIMIT | {"name": "red"}, {"requests_per_minute": None}),
    ],
)
async def test_nobody_lifts_what_bounds_their_own_team(
    office: Office, admin: str, owner: str, family: str, body: object, change: object
) -> None:
    """Who sees the bound of their team may not move it, whatever they may do in the team."""
    made = await office.ask("POST", f"/{family}", body, token=admin)
    path = f"/{family}/{made.json['id']}"
    assert (await office.ask("GET", path, token=owner)).status == 200
    assert (await office.ask("PATCH", path, change, token=owner)).status == 403
    assert (await office.ask("DELETE", path, token=owner)).status == 403
    assert (await office.ask("GET", path, token=owner)).etag == made.etag


async def test_a_conflict_names_only_what_the_caller_may_know_of(
    office: Office, admin: str
) -> None:
    """A role or a team in use says so, and of hidden users of it only that there are some."""
    for team in ("red", "blue"):
        await office.team(admin, team)

    role = {"name": "helper", "permissions": ["tools.read"]}
    assert (await office.ask("POST", "/roles", role, token=admin)).status == 201
    keeper = {"name": "keeper", "permissions": ["roles.*", "tools.read"]}
    assert (await office.ask("POST", "/roles", keeper, token=admin)).status == 201
    mine = await office.user(admin, OWNER, role="keeper", red="team_admin")
    await office.user(admin, "hidden@example.org", blue="helper")
    told = await office.ask("DELETE", "/roles/helper", token=mine)
    assert (told.status, told.code) == (409, "core.role.in_use")
    assert b"hidden@example.org" not in told.body
    assert b"blue" not in told.body
    assert b"somebody" in told.body
    seen = await office.ask("DELETE", "/roles/helper", token=admin)
    assert b"hidden@example.org" in seen.body
    await office.give(role="viewer", name="secret plans", teams=("red", "blue"))
    diary = {"name": "diary", "visibility": "private", "owner": "x@example.org", "team": "red"}
    assert (await office.ask("POST", "/servers", diary, token=admin)).status == 201
    desk = {"name": "desk", "visibility": "team", "team": "red"}
    assert (await office.ask("POST", "/servers", desk, token=admin)).status == 201
    told = await office.ask("DELETE", "/teams/red", token=mine)
    assert (told.status, told.code) == (409, "core.team.in_use")
    assert OWNER.encode() in told.body
    assert b"the server 'desk'" in told.body
    assert b"secret plans" not in told.body
    assert b"diary" not in told.body


async def test_measures_are_no_teams(office: Office, owner: str, admin: str) -> None:
    """They tell of everybody: which providers, models and plugins there are."""
    for token, status in ((owner, 403), (admin, 200)):
        answer = await office.ask("GET", "/metrics", token=token, is_whole=True)
        assert answer.status == status, answer.body
