"""Requests nobody sends by mistake: they are refused, and break nothing."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from spindle.api.paging import make_cursor
from tests.core.directory.office import open_office
from tests.core.test_usage_api import Outside

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.core.directory.office import Office


@pytest.fixture
async def office(tmp_path: Path) -> AsyncGenerator[Office]:
    async with open_office(tmp_path) as office:
        yield office


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


async def test_a_page_is_bounded_however_its_limit_is_written(office: Office) -> None:
    """Zeros in front hide no number, and no number is too long to be refused."""
    token = await office.admin()

    for limit in ("000050999999", "0" * 5000 + "1", "0" * 5000 + "9" * 5000, "501", "0"):
        answer = await office.ask("GET", f"/tokens?limit={limit}", token=token)
        assert answer.status == 400, limit[:20]


@pytest.mark.parametrize("path", ["/tokens", "/audit"])
async def test_a_cursor_that_is_none_of_ours_is_refused(office: Office, path: str) -> None:
    """Nested too deeply, not to be written as UTF-8, no text."""
    token = await office.admin()

    for text in ("[" * 9000, json.dumps("\ud800"), json.dumps("a\0b"), "7", "nonsense", "é"):
        answer = await office.ask("GET", f"{path}?cursor={cursor(text)}", token=token)
        assert answer.status == 400, (text[:20], answer.body)


async def test_a_cursor_of_usage_that_is_none_of_ours_is_refused(office: Office) -> None:
    """Nested too deeply, or with a number beyond all numbers."""
    token = await office.admin()

    for inner in ("[" * 9000, f"[{'9' * 400}, 1]", f"[{'9' * 5000}, 1]"):
        path = f"/usage/records?cursor={make_cursor(inner)}"
        answer = await Outside(office).ask(path, token)
        assert answer.status == 400, (inner[:20], answer.body)


@pytest.mark.parametrize("tag", ['"' + "9" * 5000 + '"', "9" * 5000, '"²"'])
async def test_a_tag_of_any_length_is_another_state(office: Office, tag: str) -> None:
    """If-Match with a number nobody can read is no state of the record."""
    token = await office.admin()
    made = await office.ask("POST", "/toolsets", {"name": "up"}, token=token)
    path = f"/toolsets/{made.json['id']}"
    answer = await office.ask("PATCH", path, {"description": "x"}, token=token, match=tag)
    assert answer.status == 412, answer.body
