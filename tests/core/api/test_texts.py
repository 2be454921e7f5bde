"""Names, cursors and bodies that no database keeps are refused in words, on every database."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle.api.texts import check_json
from spindle_spi.errors import InvalidArgument
from tests.core.catalog.desk import Desk, open_desk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.types import Json


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with open_desk(tmp_path) as desk:
        desk.gate.ingress.refusals = desk.core.refusals
        yield desk


def cursor(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.mark.parametrize(
    "data", [b'"\\u0000"', b'"\\ud800"', b"[" * 9000, b'"a\\u0000b"', b"1", b"\xff"]
)
@pytest.mark.parametrize("path", ["audit", "users", "/usage"])
async def test_a_cursor_that_is_none_of_ours_is_refused(desk: Desk, path: str, data: bytes) -> None:
    told = await desk.ask("GET", f"{path}?cursor={cursor(data)}")
    assert (told.status, told.message.partition(":")[0]) == (400, "cursor")


@pytest.mark.parametrize("limit", ["000501", "0000001000", "000001" + "9" * 5000, "٣", "", "+5"])
async def test_a_limit_beyond_the_bound_is_refused_however_it_is_written(
    desk: Desk, limit: str
) -> None:
    told = await desk.ask("GET", f"users?limit={limit}")
    assert (told.status, told.message.partition(":")[0]) == (400, "limit")


@pytest.mark.parametrize(
    ("method", "path", "named"),
    [
        ("GET", "audit?actor=%00", "actor"),
        ("GET", "audit/export?action=a%00b", "action"),
        ("GET", "/usage?team=%00", "team"),
        ("GET", "budgets/\0", "id"),
        ("DELETE", "teams/a\0b", "team"),
    ],
)
async def test_a_parameter_with_a_zero_character_is_refused_by_name(
    desk: Desk, method: str, path: str, named: str
) -> None:
    told = await desk.ask(method, path)
    assert (told.status, told.message.partition(":")[0]) == (400, named)


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("teams", {"name": "green", "description": "a\0b"}, "description"),
        ("gateways", {"name": "g", "url": "http://127.0.0.1:9/mcp", "description": "\0"},
         "description"),
        ("providers", {"name": "p", "urls": ["http://127.0.0.1:9/v1"], "options": {"a": ["\0"]}},
         "options.a[0]"),
        ("/llm/providers", {"name": "p", "provider_type": "mock", "description": "\0"},
         "description"),
    ],
)  # fmt: skip
async def test_a_body_with_a_zero_character_is_refused_by_its_path(
    desk: Desk, path: str, body: dict[str, object], named: str
) -> None:
    told = await desk.ask("POST", path, raw=json.dumps(body).encode())
    assert (told.status, told.message.partition(":")[0]) == (400, named)


def test_an_escaped_backslash_is_no_zero_character_and_a_pair_is_one_character() -> None:
    check_json(json.dumps({"pattern": "\\u0000", "name": "\N{PILE OF POO}"}).encode())

    with pytest.raises(InvalidArgument, match="^The body: "):
        check_json(json.dumps({"a\0b": 1}).encode())


async def test_a_number_without_end_is_no_json(desk: Desk) -> None:
    raw = b'{"name": "p", "urls": ["http://127.0.0.1:9/v1"], "defaults": {"top_p": 1e999}}'
    told = await desk.ask("POST", "providers", raw=raw)
    assert (told.status, told.message) == (400, "The body is not valid JSON.")


@pytest.mark.parametrize(
    ("key", "value"),
    [("long_timeout", 1e18), ("timeout", 10**30), ("tokens_per_minute", 2**63)],
)
async def test_a_number_no_database_keeps_is_refused_by_name(
    desk: Desk, key: str, value: float
) -> None:
    body = {"name": "p", "urls": ["http://127.0.0.1:9/v1"], key: value}
    told = await desk.ask("POST", "providers", raw=json.dumps(body).encode())
    assert told.status == 400
    assert told.message.startswith(f"{key}: ")
    assert "at most" in told.message


async def test_a_fault_is_short_however_long_the_key(desk: Desk) -> None:
    told = await desk.ask("POST", "teams", raw=json.dumps({"x" * 100_000: 1}).encode())
    assert told.status == 400
    assert len(told.raw) < 1000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("budgets", {"scope": "token", "period": "day", "limit_tokens": 1}),
        ("limits", {"scope": "token", "requests_per_minute": 1}),
    ],
)
async def test_a_name_no_index_takes_is_refused(
    desk: Desk, path: str, body: dict[str, Json]
) -> None:
    told = await desk.ask("POST", path, {**body, "name": "n" * 301})
    assert told.status == 400
    assert told.message.startswith("name: ")


async def test_a_message_is_short_whatever_it_quotes(desk: Desk) -> None:
    told = await desk.ask("POST", "users", {"email": "x@y.example", "role": "r" * 100_000})
    assert told.status == 400
    assert len(told.raw) < 9_000


async def test_the_place_of_what_was_made_is_a_path_of_a_url(desk: Desk) -> None:
    """Names may have characters that no header has, and some that end a path."""
    told = await desk.ask("POST", "users", {"email": "gr\u00fcn?x#y%25@x.example"})
    assert told.status == 201
    location = told.headers[b"location"].decode("ascii")
    assert location == "/admin/api/v1/users/gr%C3%BCn%3Fx%23y%2525@x.example"


async def test_what_twenty_delete_at_once_is_deleted_once_in_the_audit_log(desk: Desk) -> None:
    await desk.make("teams", {"name": "green"})
    await desk.make("roles", {"name": "reader", "permissions": ["models.read"]})

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(desk.ask, "DELETE", "teams/green")
            group.start_soon(desk.ask, "DELETE", "roles/reader")

    for action in ("teams.delete", "roles.delete"):
        told = await desk.ask("GET", f"audit?action={action}&decision=allowed")
        items = told.data["items"]
        assert isinstance(items, list)
        assert len(items) == 1


@pytest.mark.parametrize(
    ("path", "key", "number"),
    [
        ("models", "fallbacks", 51),
        ("models", "aliases", 51),
        ("toolsets", "tools", 2001),
        ("servers", "models", 2001),
    ],
)
async def test_a_list_that_would_be_walked_for_seconds_is_refused(
    desk: Desk, path: str, key: str, number: int
) -> None:
    """Fallbacks are followed through every model at every change: they are few."""
    of_kind: dict[str, Json] = (
        {"provider": "mock", "upstream_name": "m"} if path == "models" else {"name": "many"}
    )
    many: list[Json] = ["x" for _ in range(number)]
    told = await desk.ask("POST", path, {**of_kind, key: many})
    assert (told.status, told.message.partition(":")[0]) == (400, key)
