"""`spindle gateway inspect | changes | approve | reject` ask a gateway that runs."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from tests.core.cli.runner import Ran, run
from tests.support.http_server import Answered, Asked, serve_http

if TYPE_CHECKING:
    from collections.abc import Generator

    from spindle_spi.types import Json, JsonObject

CHANGE: JsonObject = {
    "kind": "tool",
    "name": "files__read",
    "state": "changed",
    "is_held": True,
    "digest": "b",
    "approved_digest": "a",
    "diff": "--- approved\n+++ offered\n-old\n+new",
}
LEFT_OUT: JsonObject = {"kind": "tool", "name": "", "reason": "it has no name", "is_partial": False}


class Gateway:
    """Answers as the control plane would, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self.changes: list[Json] = [CHANGE]

    async def answer(self, asked: Asked) -> Answered:
        """A gateway, its lists, or a decision."""
        self.asked.append(asked)
        path = asked.target.partition("?")[0]

        if asked.method == "POST":
            return _json({"decision": "approve", "items": self.changes})

        if path.endswith("/quarantine"):
            return _json({"items": [LEFT_OUT], "next_cursor": None, "total": 1})

        if path.endswith("/changes"):
            return _json({"items": self.changes, "next_cursor": None, "total": 1})

        if path.endswith("/tools"):
            return _json({"items": [{"name": "files__write"}], "next_cursor": None})

        return _json({"name": "files"})

    def run(self, *words: str) -> Ran:
        """Run a command against it."""
        return run("gateway", *words, env={"SPINDLE_URL": self.url, "SPINDLE_TOKEN": "spn_test"})


def _json(value: Json) -> Answered:
    return Answered(body=json.dumps(value).encode())


@contextmanager
def _serving() -> Generator[Gateway]:
    gateway = Gateway()

    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve_http(gateway.answer)) as url,
    ):
        gateway.url = url
        yield gateway


@pytest.fixture
def gateway() -> Generator[Gateway]:
    """A gateway that runs beside the test."""
    with _serving() as serving:
        yield serving


def test_a_gateway_is_inspected(gateway: Gateway) -> None:
    """How much is served, what is held, what is left out and why."""
    ran = gateway.run("inspect", "files")
    assert ran.code == 0, ran.stderr
    assert "files: 1 tools served, 1 held, 1 left out" in ran.stdout
    assert "it has no name" in ran.stdout
    assert "spindle gateway changes files" in ran.stdout
    told = json.loads(gateway.run("inspect", "files", "--json").stdout)
    assert told["quarantine"] == [LEFT_OUT]
    assert told["tools"] == ["files__write"]


def test_changes_are_shown_with_their_diffs(gateway: Gateway) -> None:
    """Or that there are none."""
    out = gateway.run("changes", "files").stdout
    assert "tool files__read (changed, held)\n--- approved" in out
    assert json.loads(gateway.run("changes", "files", "--json").stdout) == [CHANGE]
    gateway.changes = []
    assert gateway.run("changes", "files").stdout == (
        "files: every definition is the one that was approved.\n"
    )


def test_changes_are_decided_on_by_name_or_all(gateway: Gateway) -> None:
    """One of the two has to be said."""
    assert gateway.run("approve", "files", "files__read").stdout == "approved: files__read\n"
    assert gateway.run("reject", "files", "--all").stdout == "rejected: files__read\n"
    assert [json.loads(asked.body) for asked in gateway.asked] == [
        {"decision": "approve", "names": ["files__read"]},
        {"decision": "reject", "names": None},
    ]
    assert json.loads(gateway.run("approve", "files", "--all", "--json").stdout)["items"] == [
        CHANGE
    ]

    for words in (("approve", "files"), ("reject", "files", "a", "--all")):
        ran = gateway.run(*words)
        assert ran.code == 1
        assert "Name the definitions, or say --all." in ran.stderr
