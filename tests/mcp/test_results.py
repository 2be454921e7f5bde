from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spindle_mcp.results import (
    COMPLETE,
    GET,
    READ,
    completion_result,
    on_wire,
    prompt_result,
    read_result,
)
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

PAGE: JsonObject = {"uri": "a", "text": "t"}
MESSAGE: JsonObject = {"role": "user", "content": {"type": "text", "text": "t"}}
SERVER: JsonObject = {"io.modelcontextprotocol/serverInfo": {"name": "x", "version": "1"}}


BAD: list[tuple[Any, Any]] = [
    (read_result, {}),
    (read_result, {"contents": {}}),
    (read_result, {"contents": [{"uri": "a"}]}),
    (read_result, {"contents": [{"text": "a"}]}),
    (read_result, {"contents": [{**PAGE, "mimeType": 7}]}),
    (prompt_result, {"messages": None}),
    (prompt_result, {"messages": [{"role": "system", "content": MESSAGE["content"]}]}),
    (prompt_result, {"messages": [{"role": "user", "content": {"type": "hologram"}}]}),
    (prompt_result, {"messages": [{"role": "user", "content": []}]}),
    (prompt_result, {"messages": [{"role": "user", "content": {"type": "text"}}]}),
    (prompt_result, {"messages": [{"role": "user", "content": {"type": "resource"}}]}),
    (prompt_result, {"messages": [7]}),
    (completion_result, {}),
    (completion_result, {"completion": {"values": "a"}}),
    (completion_result, {"completion": {"values": [1]}}),
]


def test_what_belongs_to_the_upstreams_own_answer_is_left_out() -> None:
    """Who served it, who may share it, and whatever the protocol does not know."""
    payload: JsonObject = {
        "contents": [PAGE], "ttlMs": 10**12, "cacheScope": "public", "resultType": "complete",
        "_meta": {**SERVER, "a": 1}, "odd": 1,
    }  # fmt: skip
    assert read_result(payload, "up") == {
        "contents": [PAGE], "ttlMs": 24 * 60 * 60 * 1000, "_meta": {"a": 1},
    }  # fmt: skip
    assert read_result({"contents": [], "ttlMs": True, "_meta": SERVER}, "up") == {"contents": []}
    assert prompt_result({"messages": [MESSAGE], "description": 7}, "up") == {"messages": [MESSAGE]}


def test_completions_are_bounded() -> None:
    """The protocol allows a hundred, and a word that there are more."""
    many: list[Any] = [str(number) for number in range(150)]
    result: Any = completion_result({"completion": {"values": many, "total": -1}}, "up")
    assert result == {"completion": {"values": many[:100], "hasMore": True}}
    few: JsonObject = {"completion": {"values": ["a"], "total": 1, "hasMore": False}}
    assert completion_result(few, "up") == few


@pytest.mark.parametrize(("read", "payload"), BAD)
def test_what_is_no_such_result_is_the_upstreams_failure(read: Any, payload: Any) -> None:
    """In words that do not repeat it."""
    with pytest.raises(UpstreamError, match="'up' answered with something"):
        read(payload, "up")


def test_each_version_is_written_its_own_hints() -> None:
    """Readings alone have a time to live; nothing is shared."""
    result: JsonObject = {"contents": [PAGE], "ttlMs": 5}
    assert on_wire(READ, "2026-07-28", result) == {
        "contents": [PAGE], "ttlMs": 5, "cacheScope": "private", "resultType": "complete",
    }  # fmt: skip
    assert on_wire(READ, "2025-11-25", result) == {"contents": [PAGE]}
    assert on_wire(GET, "2026-07-28", {"messages": []}) == {
        "messages": [], "resultType": "complete",
    }  # fmt: skip
    assert on_wire(COMPLETE, "2025-06-18", {"completion": {}}) == {"completion": {}}
