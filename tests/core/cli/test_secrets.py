"""`spindle secrets`: on the store directly; a value comes by standard input and never goes out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from spindle.cli.app import app
from spindle.master_key import FILE_NAME, new_key
from tests.core.cli.runner import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("002-8-secrets")
VALUE = "canary-provider-key-0123456789"
NAME = "llm.services.up.api_key"
CONFIG = """
llm:
  services:
    up: {provider_type: openai, urls: ["http://127.0.0.1:9/v1"], api_key_env_var: UP_KEY,
         api_key_file: up.key}
"""


def put(home: Path, name: str, value: str, *more: str, **env: str) -> tuple[int, str]:
    """Run `spindle secrets set` with a value on standard input."""
    result = CliRunner().invoke(
        app, ["secrets", "set", name, "--home", str(home), *more], input=value, env=env
    )
    assert VALUE not in result.output
    return result.exit_code, result.output


def where(home: Path, *more: str, **env: str) -> list[str]:
    shown = run("secrets", "where", NAME, "--home", str(home), *more, env=env)
    assert shown.code == 0, shown.stderr
    return [" ".join(line.split()) for line in shown.stdout.splitlines()[1:]]


def test_a_value_is_stored_listed_rotated_and_deleted(tmp_path: Path) -> None:
    """With a key the command makes in development; every step is in the audit log."""
    code, shown = put(tmp_path, "webhook", f"{VALUE}\n")
    assert (code, "within a second" in shown) == (0, True)
    assert (tmp_path / FILE_NAME).exists()
    listed = run("secrets", "list", "--json", "--home", str(tmp_path))
    (info,) = json.loads(listed.stdout)
    assert (info["name"], info["state"], info["used_by"]) == ("webhook", "available", [])
    assert "webhook" in run("secrets", "list", "--home", str(tmp_path)).stdout
    key = new_key().reveal()
    old = (tmp_path / FILE_NAME).read_text().strip()
    keys = {"SPINDLE_SECRET_KEY": f"{key},{old}"}
    rotated = run("secrets", "rotate", "--json", "--home", str(tmp_path), env=keys)
    assert json.loads(rotated.stdout) == {"rotated": 1}
    alone = {"SPINDLE_SECRET_KEY": key}
    again = run("secrets", "rotate", "--home", str(tmp_path), env=alone)
    assert again.stdout.startswith("1 stored secrets are encrypted")
    gone = run("secrets", "delete", "webhook", "--home", str(tmp_path), env=alone)
    assert gone.stdout == "webhook is deleted.\n"
    entries = run("audit", "list", "--json", "--home", str(tmp_path))
    actions = [entry["action"] for entry in json.loads(entries.stdout)]
    assert actions == ["secrets.delete", "secrets.rotate", "secrets.rotate", "secrets.update"]
    assert VALUE not in entries.stdout


def test_a_secret_is_found_in_the_order_environment_file_database(tmp_path: Path) -> None:
    """`where` shows each place, which one is used, and which only would be."""
    (tmp_path / "spindle.yaml").write_text(CONFIG)
    config = ("--config", str(tmp_path / "spindle.yaml"))
    file = tmp_path / "up.key"
    assert where(tmp_path, *config) == [
        "environment UP_KEY none",
        f"file {file} none",
        f"database {NAME} none",
    ]
    code, shown = put(tmp_path, NAME, VALUE, *config, "--json")
    assert (code, json.loads(shown.splitlines()[-1])["found_in"]) == (0, "database")
    assert where(tmp_path, *config)[-1] == f"database {NAME} used"
    file.write_text("from-file")
    assert where(tmp_path, *config)[1:] == [f"file {file} used", f"database {NAME} set, not used"]
    assert where(tmp_path, *config, UP_KEY="from-environment") == [
        "environment UP_KEY used",
        f"file {file} set, not used",
        f"database {NAME} set, not used",
    ]
    code, shown = put(tmp_path, NAME, VALUE, *config)
    assert f"The file ({file}) goes before it." in shown
    shown = run("secrets", "where", NAME, "--json", "--home", str(tmp_path), *config).stdout
    assert json.loads(shown)["found_in"] == "file"
    kept = run("secrets", "delete", NAME, "--home", str(tmp_path), *config)
    assert (kept.code, "used by the provider 'up'" in kept.stderr) == (1, True)


def test_what_no_key_opens_is_said_and_may_be_deleted(tmp_path: Path) -> None:
    """Also what a record refers to: it is of no use to it."""
    (tmp_path / "spindle.yaml").write_text(CONFIG)
    config = ("--config", str(tmp_path / "spindle.yaml"))
    put(tmp_path, NAME, VALUE, *config)
    (tmp_path / FILE_NAME).unlink()
    assert where(tmp_path, *config)[-1] == f"database {NAME} no key opens it"
    refused = run("secrets", "rotate", "--home", str(tmp_path), *config)
    assert (refused.code, NAME in refused.stderr) == (1, True)
    code, shown = put(tmp_path, NAME, VALUE, *config)
    assert (code, "is gone" in shown) == (1, True)
    assert run("secrets", "delete", NAME, "--home", str(tmp_path), *config).code == 0
    assert put(tmp_path, NAME, VALUE, *config)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("delete", "nobody"), "There is no secret 'nobody'"),
        (("where", "nobody"), "see `spindle secrets list`"),
        (("set", "nobody"), "no value on standard input"),
    ],
)
def test_what_cannot_be_done_says_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """On standard error, with exit status 1."""
    ran = run("secrets", *arguments, "--home", str(tmp_path))
    assert (ran.code, ran.stdout) == (1, "")
    assert said in ran.stderr


def test_a_person_is_asked_and_sees_nothing_of_the_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal the prompt does not echo."""
    monkeypatch.setattr("spindle.cli.secrets._is_terminal", lambda: True)
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return VALUE

    monkeypatch.setattr("getpass.getpass", answer)
    ran = run("secrets", "set", "webhook", "--home", str(tmp_path))
    assert ran.code == 0
    assert asked == ["Value of webhook (not shown): "]
    assert VALUE not in ran.stdout + ran.stderr


def test_a_new_key_is_printed_alone(tmp_path: Path) -> None:
    """So that a script can take it."""
    made = run("secrets", "new-key").stdout
    assert run("secrets", "new-key").stdout != made
    env = {"SPINDLE_SECRET_KEY": made.strip()}
    assert put(tmp_path, "webhook", VALUE, **env)[0] == 0
    assert not (tmp_path / FILE_NAME).exists()


def test_production_without_a_key_says_where_to_put_one(tmp_path: Path) -> None:
    """When something needs it; a list needs none."""
    (tmp_path / "spindle.yaml").write_text("environment: production\n")
    config = ("--config", str(tmp_path / "spindle.yaml"))
    assert run("secrets", "list", "--home", str(tmp_path), *config).code == 0
    code, shown = put(tmp_path, "webhook", VALUE, *config)
    assert (code, "spindle secrets new-key" in shown) == (1, True)
