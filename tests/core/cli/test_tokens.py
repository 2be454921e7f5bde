"""`spindle token`: on the store directly, with or without a running gateway."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.core.cli.runner import run

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "servers: {desk: {gateways: [demo]}}\n"


def create(home: Path, *arguments: str) -> dict[str, object]:
    made = run("token", "create", "--json", "--home", str(home), *arguments)
    assert made.code == 0, made.stderr
    return dict(json.loads(made.stdout))


def listed(home: Path) -> list[dict[str, object]]:
    found = run("token", "list", "--json", "--home", str(home))
    return list(json.loads(found.stdout))


def test_a_token_is_printed_once_and_alone(tmp_path: Path) -> None:
    """Standard output is the token and nothing else, so that a script can take it."""
    made = run("token", "create", "--team", "red", "--home", str(tmp_path))
    assert made.code == 0
    assert made.stdout.startswith("spn_")
    assert len(made.stdout.split()) == 1
    assert "sees: red" in made.stderr
    shown = run("token", "list", "--home", str(tmp_path))
    assert made.stdout.strip() not in shown.stdout
    assert made.stdout[:12] in shown.stdout


def test_a_token_has_what_was_asked_for(tmp_path: Path) -> None:
    """Teams, role, subset of permissions, server, person, addresses and end."""
    config = tmp_path / "spindle.yaml"
    config.write_text(CONFIG)
    made = create(
        tmp_path,
        *("--config", str(config), "--name", "night job", "--team", "red", "--team", "blue"),
        *("--role", "team_admin", "--permission", "llm.invoke", "--permission", "tools.*"),
        *("--user", "a@example.com", "--expires", "30d", "--server", "desk"),
        *("--address", "10.0.0.0/8"),
    )
    assert made["name"] == "night job"
    assert made["teams"] == ["red", "blue"]
    assert made["permissions"] == ["llm.invoke", "tools.*"]
    assert made["user"] == "a@example.com"
    assert made["server_id"]
    assert made["expires_at"]
    assert made["addresses"] == ["10.0.0.0/8"]
    (row,) = listed(tmp_path)
    assert {key: row[key] for key in row} == {key: made[key] for key in row}


def test_without_a_team_a_token_sees_what_is_public(tmp_path: Path) -> None:
    """An administrator's sees everything, unless teams are said."""
    plain = create(tmp_path)
    admin = create(tmp_path, "--admin")
    scoped = create(tmp_path, "--admin", "--team", "red")
    assert (plain["teams"], plain["role"], plain["admin"]) == ([], "developer", False)
    assert (admin["teams"], admin["role"], admin["permissions"]) == (None, "platform_admin", ["*"])
    assert (scoped["teams"], scoped["admin"]) == (["red"], True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--role", "king"), "There is no role 'king'; the roles are: developer,"),
        (("--role", "viewer", "--permission", "tools.execute"), "The role viewer does not have"),
        (("--expires", "soon"), "'soon' is no time: write 30d"),
        (("--expires", "2001-01-01"), "2001-01-01 is in the past."),
        (("--server", "attic"), "There is no virtual server 'attic'."),
        (("--address", "10.0.0.0/99"), "'10.0.0.0/99' is no range of addresses"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_one_clear_line(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    """It says what is wrong, makes nothing, and exits with 1."""
    made = run("token", "create", "--home", str(tmp_path), *arguments)
    assert (made.code, made.stdout) == (1, "")
    assert words in made.stderr
    assert made.stderr.count("\n") == 1
    assert listed(tmp_path) == []


def test_a_token_can_end_at_a_date(tmp_path: Path) -> None:
    """Without a zone it is UTC."""
    made = create(tmp_path, "--expires", "2099-12-31")
    assert made["expires_at"] == "2099-12-31T00:00:00+00:00"
    shown = run("token", "list", "--home", str(tmp_path))
    assert "valid until 2099-12-31T00:00:00+00:00" in shown.stdout


def test_revoking_is_for_good(tmp_path: Path) -> None:
    """By id or by what the token starts with; a second time is a failure, so is a wrong name."""
    one = create(tmp_path)
    two = create(tmp_path)
    home = ("--home", str(tmp_path))
    assert (run("token", "revoke", str(one["id"]), *home)).code == 0
    assert (run("token", "revoke", str(two["prefix"]), *home)).code == 0
    again = run("token", "revoke", str(one["id"]), *home)
    assert (again.code, "was revoked before" in again.stderr) == (1, True)
    wrong = run("token", "revoke", "nothing", *home)
    assert (wrong.code, "There is no single token 'nothing'" in wrong.stderr) == (1, True)
    assert [row["revoked_at"] is not None for row in listed(tmp_path)] == [True, True]
    shown = run("token", "list", *home)
    assert shown.stdout.count("revoked") == 2
