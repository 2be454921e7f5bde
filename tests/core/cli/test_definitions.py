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
        self.etag = '"v1"'
        self.pages: list[str] = []
        """Versions of the next pages of changes, if there are several."""

    async def answer(self, asked: Asked) -> Answered:
        """A gateway, its lists, or a decision."""
        self.asked.append(asked)
        path = asked.target.partition("?")[0]

        if asked.method == "POST":
            if asked.headers.get("if-match", self.etag) != self.etag:
                return _json({"error": {"message": "It was changed since."}}, status=412)

            return _json({"decision": "approve", "items": self.changes})

        if path.endswith("/quarantine"):
            return _json({"items": [LEFT_OUT], "next_cursor": None, "total": 1})

        if path.endswith("/changes"):
            etag = f'"{self.pages.pop(0)}"' if self.pages else self.etag
            cursor = "more" if self.pages else None
            return _json({"items": self.changes, "next_cursor": cursor}, etag=etag)

        if path.endswith("/tools"):
            return _json({"items": [{"name": "files__write"}], "next_cursor": None})

        return _json({"name": "files"})

    def run(self, *words: str) -> Ran:
        """Run a command against it."""
        return run("gateway", *words, env={"SPINDLE_URL": self.url, "SPINDLE_TOKEN": "spn_test"})


def _json(value: Json, *, status: int = 200, etag: str | None = None) -> Answered:
    headers = {} if etag is None else {"etag": etag}
    return Answered(status=status, body=json.dumps(value).encode(), headers=headers)


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
    """And with what approves just these; or that there are none."""
    out = gateway.run("changes", "files").stdout
    assert "tool files__read (changed, held)\n--- approved" in out
    assert "spindle gateway approve files --all --version v1\n" in out
    told = json.loads(gateway.run("changes", "files", "--json").stdout)
    assert told == {"items": [CHANGE], "version": "v1"}
    gateway.changes = []
    assert gateway.run("changes", "files").stdout == (
        "files: every definition is the one that was approved.\n"
    )


def test_changes_are_decided_on_by_name_or_all(gateway: Gateway) -> None:
    """One of the two has to be said."""
    seen = ("--version", "v1")
    approved = gateway.run("approve", "files", "files__read", *seen)
    assert approved.stdout == "approved: files__read\n"
    assert gateway.run("reject", "files", "--all").stdout == "rejected: files__read\n"
    assert [json.loads(asked.body) for asked in gateway.asked] == [
        {"decision": "approve", "names": ["files__read"]},
        {"decision": "reject", "names": None},
    ]
    told = json.loads(gateway.run("approve", "files", "--all", *seen, "--json").stdout)
    assert told["items"] == [CHANGE]

    for words in (("approve", "files"), ("reject", "files", "a", "--all")):
        ran = gateway.run(*words)
        assert ran.code == 1
        assert "Name the definitions, or say --all." in ran.stderr


def test_what_nobody_has_looked_at_is_not_approved(gateway: Gateway) -> None:
    """The version that was looked at has to be said, and to be the one that is offered."""
    ran = gateway.run("approve", "files", "--all")
    assert ran.code == 1
    assert "--version, which `spindle gateway changes files` prints" in ran.stderr
    assert gateway.asked == []
    gateway.etag = '"v2"'

    for decision in ("approve", "reject"):
        ran = gateway.run(decision, "files", "--all", "--version", "v1")
        assert ran.code == 1
        assert ran.stdout == ""
        assert "changed since" in ran.stderr


def test_a_list_that_changes_while_it_is_read_has_no_version(gateway: Gateway) -> None:
    """Two pages of two versions were never shown together."""
    gateway.pages = ["v1", "v2"]
    ran = gateway.run("changes", "files")
    assert ran.code == 1
    assert "changed while it was read" in ran.stderr
