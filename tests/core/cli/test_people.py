"""`spindle user | team | role`, and the rest of `spindle token`: on the store directly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from spindle.cli.failures import Failure
from spindle.cli.times import hours_of
from spindle_spi.context import TimeWindow
from tests.core.cli.runner import run

if TYPE_CHECKING:
    from pathlib import Path

ADA = "ada@example.org"
WEEK = (0, 1, 2, 3, 4, 5, 6)


def done(home: Path, *arguments: str) -> Any:
    """Run a command that must succeed; return its JSON."""
    ran = run(*arguments, "--json", "--home", str(home))
    assert ran.code == 0, ran.stderr
    return json.loads(ran.stdout)


def said(home: Path, *arguments: str) -> str:
    """Run a command that must succeed; return what it says to people."""
    ran = run(*arguments, "--home", str(home))
    assert ran.code == 0, ran.stderr
    return ran.stdout


def refused(home: Path, *arguments: str) -> str:
    """Run a command that must fail; return the one line that says why."""
    ran = run(*arguments, "--home", str(home))
    assert (ran.code, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    return ran.stderr


def test_from_nothing_to_a_team_with_members(tmp_path: Path) -> None:
    """Users, a team, a role of one's own, memberships, an invitation; and all of it away again."""
    assert said(tmp_path, "user", "create", ADA, "--role", "viewer") == f"{ADA} is there.\n"
    service = done(tmp_path, "user", "create", "Night job", "--service")
    assert service["email"] == "night-job@service.spindle"
    assert "red is there" in said(tmp_path, "team", "create", "red", "--description", "The reds.")
    assert "is there" in said(tmp_path, "role", "create", "helper", "--permission", "tools.*")
    assert "is helper in red" in said(
        tmp_path, "team", "add-member", "red", ADA, "--role", "helper"
    )
    assert done(tmp_path, "user", "show", ADA)["teams"] == {"red": "helper"}
    assert "red (helper)" in said(tmp_path, "user", "show", ADA)
    assert "red (helper)" in said(tmp_path, "user", "list")
    assert [m["email"] for m in done(tmp_path, "team", "show", "red")["members"]] == [ADA]
    assert ADA in said(tmp_path, "team", "show", "red")
    assert "still has the member" in refused(tmp_path, "team", "delete", "red")
    assert "is that of" in refused(tmp_path, "role", "delete", "helper")
    link = done(tmp_path, "team", "invite", "red", "--email", ADA)["link"]
    assert link.startswith("/invitations/spi_")
    told = run("team", "invite", "red", "--home", str(tmp_path))
    assert told.stdout.startswith("/invitations/spi_")
    assert told.stdout.count("\n") == 1, "a script takes it as it is"
    assert "for public ones add --platform-role" in told.stderr
    told = run("team", "invite", "red", "--platform-role", "viewer", "--home", str(tmp_path))
    assert "--platform-role" not in told.stderr
    assert "For whoever has this link, as developer in red, once, until 2" in told.stderr
    assert "changed" in said(tmp_path, "role", "update", "helper", "--permission", "tools.read")
    assert done(tmp_path, "role", "show", "helper")["permissions"] == ["tools.read"]
    assert "tools.read" in said(tmp_path, "role", "show", "helper")
    assert "built in" in said(tmp_path, "role", "list")
    assert len(done(tmp_path, "role", "list")) == 6
    assert "changed" in said(tmp_path, "team", "update", "red", "--description", "R")
    assert done(tmp_path, "team", "list")[0]["description"] == "R"
    assert "red" in said(tmp_path, "team", "list")
    assert "no member" in said(tmp_path, "team", "remove-member", "red", ADA)
    assert "deleted" in said(tmp_path, "team", "delete", "red")
    assert "deleted" in said(tmp_path, "role", "delete", "helper")
    assert "deleted" in said(tmp_path, "user", "delete", ADA)
    assert [user["is_service"] for user in done(tmp_path, "user", "list")] == [True]


def test_a_user_is_disabled_changed_and_enabled(tmp_path: Path) -> None:
    """An administrator's role is the administrators' unless another one is said."""
    made = done(tmp_path, "user", "create", ADA, "--admin")
    assert (made["role"], made["is_admin"]) == ("platform_admin", True)
    done(tmp_path, "user", "create", "bob@example.org", "--admin")
    assert "(disabled)" in said(tmp_path, "user", "disable", ADA)
    assert "disabled" in said(tmp_path, "user", "list")
    assert done(tmp_path, "user", "enable", ADA)["disabled"] is False
    changed = done(tmp_path, "user", "update", ADA, "--role", "", "--no-admin", "--name", "Ada")
    assert (changed["role"], changed["is_admin"], changed["name"]) == (None, False, "Ada")
    last = refused(tmp_path, "user", "disable", "bob@example.org")
    assert "nobody who can administer" in last


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("user", "show", "nobody@example.org"), "The user 'nobody@example.org' does not exist."),
        (("user", "create", "nobody"), "is no e-mail address"),
        (("team", "create", "a/b"), "is no name"),
        (("team", "add-member", "red", ADA), "The team 'red' does not exist."),
        (("role", "create", "x", "--permission", "tools.fly"), "not known: tools.fly"),
        (("role", "delete", "viewer"), "is built in"),
        (("token", "rotate", "nothing"), "There is no single token 'nothing'"),
        (("token", "create", "--hours", "noon"), "'noon' are no hours"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    """On standard error, with the exit status 1."""
    assert words in refused(tmp_path, *arguments)


def test_a_token_of_a_user_follows_them(tmp_path: Path) -> None:
    """It has no role of its own unless one is said; rotated it has another text alone."""
    done(tmp_path, "user", "create", ADA, "--role", "viewer")
    hours = ("--hours", "mon-fri/08:00-18:00")
    made = done(tmp_path, "token", "create", "--user", ADA, *hours)
    assert (made["role"], made["teams"], made["permissions"]) == ("", None, ["*"])
    assert made["hours"] == [{"days": [0, 1, 2, 3, 4], "start_minute": 480, "end_minute": 1080}]
    assert made["created_by"].startswith("local:")
    shown = done(tmp_path, "token", "show", made["prefix"])
    assert shown["id"] == made["id"]
    assert made["prefix"] in said(tmp_path, "token", "show", made["id"])
    rotated = done(tmp_path, "token", "rotate", made["id"])
    assert rotated["token"] != made["token"]
    assert {key: rotated[key] for key in shown if key != "prefix"} == {
        key: shown[key] for key in shown if key != "prefix"
    }
    assert said(tmp_path, "token", "rotate", made["id"]).startswith("spn_")
    assert done(tmp_path, "token", "revoke", made["id"])["revoked_at"]
    assert "revoked before" in refused(tmp_path, "token", "rotate", made["id"])


def test_a_lost_administrator_token_is_replaced(tmp_path: Path) -> None:
    """In the file, for its owner alone; never on the screen."""
    first = done(tmp_path, "token", "recover")
    text = (tmp_path / "admin-token").read_text().strip()
    assert text.startswith(first["prefix"])
    assert (tmp_path / "admin-token").stat().st_mode & 0o777 == 0o600
    again = said(tmp_path, "token", "recover")
    assert (tmp_path / "admin-token").read_text().strip() not in again
    assert (tmp_path / "admin-token").read_text().strip() != text
    rows = done(tmp_path, "token", "list")
    assert [(row["admin"], row["teams"], row["permissions"]) for row in rows] == [
        (True, None, ["*"])
    ] * 2
    # Whoever is at this machine may revoke the last one, too.
    for row in rows:
        assert done(tmp_path, "token", "revoke", row["id"])["revoked_at"]


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        (
            "mon-fri/08:00-18:00",
            (TimeWindow(days=(0, 1, 2, 3, 4), start_minute=480, end_minute=1080),),
        ),
        (
            "SAT,sun/10:00-24:00",
            (TimeWindow(days=(5, 6), start_minute=600, end_minute=1440),),
        ),
        ("fri-mon/00:00-01:00", (TimeWindow(days=(0, 4, 5, 6), start_minute=0, end_minute=60),)),
        (
            "sun/22:00-06:00",
            (
                TimeWindow(days=(6,), start_minute=1320, end_minute=1440),
                TimeWindow(days=(0,), start_minute=0, end_minute=360),
            ),
        ),
        ("23:00-00:00", (TimeWindow(days=WEEK, start_minute=1380, end_minute=1440),)),
    ],
)
def test_hours_are_written_as_people_say_them(text: str, windows: tuple[TimeWindow, ...]) -> None:
    """Over midnight they are two windows, and the second is on the next day."""
    assert hours_of(text) == windows


@pytest.mark.parametrize(
    "text", ["", "mon", "mon/8-18", "25:00-26:00", "08:00-08:00", "xxx/08:00-09:00", "08:00-24:01"]
)
def test_what_are_no_hours_is_refused(text: str) -> None:
    """The message shows how they are written."""
    with pytest.raises(Failure):
        hours_of(text)
