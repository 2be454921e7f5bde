"""`spindle plugin`: on the store, without a gateway."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import pytest
import structlog

from tests.core.cli.runner import Ran, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spindle_spi.types import JsonObject


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "spindle.yaml").write_text("plugins: {entries: [{plugin: pii, name: declared}]}")
    return tmp_path


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Leave logging as a fresh process has it."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def plugin(home: Path, *arguments: str) -> Ran:
    return run("plugin", *arguments, "--home", str(home), "--config", str(home / "spindle.yaml"))


def read(ran: Ran) -> JsonObject:
    assert (ran.code, ran.stderr) == (0, "")
    found: JsonObject = json.loads(ran.stdout)
    return found


def test_an_entry_from_adding_to_removing(home: Path) -> None:
    """Each command does what its name says, in JSON and for people."""
    made = read(
        plugin(
            home, "add", "mask", "--plugin", "pii", "--team", "sales*", "--phase", "pre_invoke",
            "--priority", "7", "--set", "action=mask", "--set", "kinds=[email]", "--json",
        )
    )  # fmt: skip
    assert (made["origin"], made["state"], made["priority"]) == ("api", "active", 7)
    assert made["config"] == {"action": "mask", "kinds": ["email"]}
    changed = read(plugin(home, "update", "mask", "--set", "action=deny", "--tool", "x", "--json"))
    assert changed["config"] == {"action": "deny", "kinds": ["email"]}
    conditions = changed["conditions"]
    assert isinstance(conditions, dict)
    assert (conditions["teams"], conditions["tools"]) == (["sales*"], ["x"])
    assert read(plugin(home, "disable", "mask", "--json"))["state"] == "disabled"
    assert read(plugin(home, "enable", "mask", "--json"))["state"] == "active"
    assert "sales*" in plugin(home, "show", "mask").stdout
    listed = plugin(home, "list").stdout
    assert "mask" in listed
    assert "declared" in listed
    assert "Available: " in listed
    assert {"items", "available"} == set(read(plugin(home, "list", "--json")))
    assert "is changed (disabled);" in plugin(home, "disable", "mask").stdout
    assert "is changed; a running" in plugin(home, "enable", "mask").stdout
    assert "updated_at   2" in plugin(home, "show", "mask").stdout, "a time people can read"
    assert "within a second" in plugin(home, "remove", "mask").stdout
    assert plugin(home, "show", "mask").stderr == "There is no plugin 'mask'.\n"


def test_a_sample_is_tried_without_a_gateway(home: Path) -> None:
    """By an entry that is there, and by one that is only said."""
    told = plugin(home, "try", "declared", "--text", "to a@example.org").stdout
    assert told.startswith("replace (")
    assert told.endswith("/text: to [EMAIL]\n")
    deny = ("--plugin", "pii", "--set", "action=deny")
    refused = plugin(home, "try", "new", *deny, "--text", "a@example.org").stdout
    assert "refused by the plugin pii" in refused
    verdict = read(plugin(home, "try", "declared", "--arguments", '{"a": "x"}', "--json"))
    assert verdict["verdict"] == "allow"
    messages = '[{"role": "user", "content": "a@example.org"}]'
    assert read(plugin(home, "try", "declared", "--messages", messages, "--json"))["findings"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "x", "--plugin", "nothing"), "unknown plugin 'nothing'"),
        (("add", "x", "--plugin", "pii", "--mode", "loud"), "mode: "),
        (("add", "x", "--plugin", "pii", "--set", "action"), "write KEY=VALUE"),
        (("add", "x", "--plugin", "pii", "--set", "action=[1"), "no YAML"),
        (("add", "declared", "--plugin", "pii"), "already"),
        (("update", "declared", "--priority", "1"), "change it there"),
        (("update", "declared"), "Nothing to change"),
        (("remove", "declared"), "change it there"),
        (("remove", "nobody"), "no plugin 'nobody'"),
        (("try", "declared"), "expected one of text"),
        (("try", "declared", "--arguments", "[]"), "expected a JSON object"),
        (("try", "declared", "--messages", "{}"), "expected a JSON array"),
        (("try", "declared", "--messages", "{"), "expected JSON"),
        (("try", "declared", "--text", "a", "--phase", "x"), "expected one of pre_fetch"),
    ],
)
def test_what_cannot_be_done_says_why(home: Path, arguments: tuple[str, ...], said: str) -> None:
    """And ends with 1."""
    ran = plugin(home, *arguments)
    assert (ran.code, ran.stdout) == (1, "")
    assert said in ran.stderr


def test_a_model_is_not_asked_without_a_gateway(home: Path) -> None:
    """The verdict is an error, and standard output is JSON alone."""
    model = ("--plugin", "moderation", "--set", "model=mock~echo")
    ran = plugin(home, "try", "m", *model, "--text", "hello", "--json")
    assert json.loads(ran.stdout)["code"] == "plugin.failed"


def test_a_broken_entry_is_mended_by_command(home: Path) -> None:
    """By saying its plugin anew."""
    plugin(home, "add", "x", "--plugin", "pii")

    with sqlite3.connect(home / "spindle.db") as connection:
        connection.execute("UPDATE plugins SET entry = '{}'")

    connection.close()
    shown = plugin(home, "show", "x", "--json")
    assert json.loads(shown.stdout)["state"] == "unusable"
    mended = plugin(home, "update", "x", "--plugin", "pii", "--json")
    assert json.loads(mended.stdout)["state"] == "active"
