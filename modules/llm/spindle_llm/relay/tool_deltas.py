"""Tool calls in a stream: counted from zero without gaps, introduced once, arguments as text."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from spindle_llm.relay.answers import argument_text

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject


class ToolDeltas:
    """Takes the `tool_calls` of the deltas of one choice, in order."""

    __slots__ = ("_by_index", "_tools")

    def __init__(self) -> None:
        self._tools: list[_Tool] = []
        self._by_index: dict[int, _Tool] = {}
        """By the number the upstream uses."""

    def apply(self, calls: list[Json]) -> bool:
        """Make every entry keep the rules, in place; tell whether that changed one."""
        changed = False

        for position, entry in enumerate(calls):
            if isinstance(entry, dict):
                changed |= self._apply(entry, position)

        return changed

    def missing_arguments(self) -> list[JsonObject]:
        """Return a delta for each call whose arguments never came: an empty text is no JSON."""
        empty: JsonObject = {"arguments": "{}"}
        return [
            {"tool_calls": [{"index": tool.index, "function": empty}]}
            for tool in self._tools
            if tool.is_function and not tool.has_arguments
        ]

    def _apply(self, entry: JsonObject, position: int) -> bool:
        tool = self._known(entry, position)
        function = entry.get("function")

        if tool is None:
            tool = self._new(entry)
            changed = _introduce(entry, tool)
        else:
            changed = _forget_introduction(entry, tool)

        if isinstance(function, dict):
            changed |= _arguments(function, tool)

        if entry.get("index") != tool.index:
            entry["index"] = tool.index
            return True

        return changed

    def _known(self, entry: JsonObject, position: int) -> _Tool | None:
        index, said = entry.get("index"), entry.get("id")

        if isinstance(index, int):
            tool = self._by_index.get(index)
            return None if tool is not None and said and said != tool.said_id else tool

        if said:
            return next((tool for tool in self._tools if tool.said_id == said), None)

        function = entry.get("function")
        is_named = isinstance(function, dict) and bool(function.get("name"))
        return None if is_named or position or not self._tools else self._tools[-1]

    def _new(self, entry: JsonObject) -> _Tool:
        index, said = entry.get("index"), entry.get("id")
        tool = _Tool(len(self._tools), said if isinstance(said, str) else None)
        self._tools.append(tool)

        if isinstance(index, int):
            self._by_index[index] = tool

        return tool


class _Tool:
    """One call that is being told."""

    __slots__ = ("has_arguments", "index", "is_function", "is_named", "said_id")

    def __init__(self, index: int, said_id: str | None) -> None:
        self.index = index
        self.said_id = said_id
        self.is_function = True
        self.is_named = False
        self.has_arguments = False


def _introduce(entry: JsonObject, tool: _Tool) -> bool:
    changed = False

    if not tool.said_id:
        entry["id"] = f"call_{uuid.uuid4().hex[:24]}"
        changed = True

    if not isinstance(entry.get("type"), str):
        entry["type"] = "function"
        changed = True

    tool.is_function = entry["type"] == "function"
    function = entry.get("function")

    if isinstance(function, dict):
        tool.is_named = bool(function.get("name"))

    return changed


def _forget_introduction(entry: JsonObject, tool: _Tool) -> bool:
    changed = False

    for key in ("id", "type"):
        if entry.get(key):
            del entry[key]
            changed = True

    function = entry.get("function")

    if isinstance(function, dict) and function.get("name"):
        if tool.is_named:
            del function["name"]
            changed = True

        tool.is_named = True

    return changed


def _arguments(function: JsonObject, tool: _Tool) -> bool:
    arguments = function.get("arguments")

    if isinstance(arguments, str):
        tool.has_arguments = tool.has_arguments or bool(arguments)
        return False

    if arguments is None:
        return function.pop("arguments", "") is None

    function["arguments"] = argument_text(arguments)
    tool.has_arguments = True
    return True
