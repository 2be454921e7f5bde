"""`spindle tool` and `spindle resource` ask a gateway that runs."""

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

RECORD = {
    "name": "demo-add",
    "visibility": "team",
    "team": "red",
    "enabled": False,
    "origin": "gateway:demo",
    "description": "Adds.\nMore.",
}


class Gateway:
    """Answers as the control plane would, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.url = ""

    async def answer(self, asked: Asked) -> Answered:
        """One page after the other, a changed record, or a refusal."""
        self.asked.append(asked)

        if asked.method == "GET" and "cursor" not in asked.target:
            return _json({"items": [RECORD], "next_cursor": "abc"})

        if asked.method == "GET":
            other = {**RECORD, "name": "demo-sub", "team": None, "enabled": True}
            return _json({"items": [other], "next_cursor": None})

        if "broken" in asked.target:
            return Answered(status=200, body=b"[]" if "list" in asked.target else b"{")

        if "none" in asked.target:
            error = {"error": {"message": "There is no tool 'none'."}}
            return Answered(status=404, body=json.dumps(error).encode())

        return _json(RECORD)

    def run(self, *words: str) -> Ran:
        """Run a command against it."""
        env = {"SPINDLE_URL": self.url, "SPINDLE_TOKEN": "spn_test"}
        return run(*words, env=env)


def _json(value: object) -> Answered:
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


def test_every_page_is_listed(gateway: Gateway) -> None:
    """As a table and as JSON, with the token of the environment."""
    listed = gateway.run("tool", "list")
    as_json = gateway.run("resource", "list", "--json")
    gateway.run("template", "list")
    gateway.run("prompt", "list")

    assert listed.code == 0, listed.stderr
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [
        "NAME",
        "demo-add",
        "demo-sub",
    ]
    assert "More." not in listed.stdout
    assert len(json.loads(as_json.stdout)) == 2
    assert gateway.asked[0].target == "/admin/api/v1/tools?limit=500"
    assert gateway.asked[1].target == "/admin/api/v1/tools?limit=500&cursor=abc"
    assert gateway.asked[2].target.startswith("/admin/api/v1/resources?")
    assert gateway.asked[4].target.startswith("/admin/api/v1/templates?")
    assert gateway.asked[6].target.startswith("/admin/api/v1/prompts?")
    assert gateway.asked[0].headers["authorization"] == "Bearer spn_test"


def test_what_is_said_is_sent_as_a_change(gateway: Gateway) -> None:
    """Nothing else; names are escaped."""
    changed = gateway.run(
        "tool", "update", "demo/add", "--visibility", "team", "--team", "red", "--tag", "x"
    )
    gateway.run("tool", "enable", "demo-add")
    shown = gateway.run("tool", "disable", "demo-add", "--json")

    assert (changed.code, changed.stdout) == (0, "demo-add is changed.\n")
    assert json.loads(shown.stdout) == RECORD
    assert [asked.method for asked in gateway.asked] == ["PATCH"] * 3
    assert gateway.asked[0].target == "/admin/api/v1/tools/demo%2Fadd"
    assert [json.loads(asked.body) for asked in gateway.asked] == [
        {"visibility": "team", "team": "red", "tags": ["x"]},
        {"enabled": True},
        {"enabled": False},
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "There is no tool 'none'."),
        ("broken", "The gateway gave no answer: JSONDecodeError."),
        ("broken-list", "The gateway's answer cannot be read."),
    ],
)
def test_a_refusal_is_said(gateway: Gateway, name: str, message: str) -> None:
    """In the gateway's words, on standard error."""
    ran = gateway.run("tool", "enable", name)

    assert (ran.code, ran.stdout) == (1, "")
    assert message in ran.stderr


def test_a_gateway_that_does_not_answer_is_said() -> None:
    """With what went wrong."""
    with _serving() as gateway:
        pass

    ran = gateway.run("tool", "list")

    assert ran.code == 1
    assert "The gateway gave no answer: ConnectError." in ran.stderr
