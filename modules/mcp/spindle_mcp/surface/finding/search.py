"""A view in search mode: two tools with which a client finds and calls the others.

What is found is what this caller sees, and what is called goes the walk of a direct call.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio.to_thread

from spindle_mcp.eras import MODERN, fits
from spindle_mcp.surface.finding.ranking import Ranking, fused, words_of_tool
from spindle_mcp.surface.shelf.arguments import ArgumentCheck
from spindle_mcp.surface.walks.calls import ToolCalls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_mcp.surface.dialogue.turns import Turns
    from spindle_mcp.surface.finding.vectors import Vectors
    from spindle_mcp.surface.shelf.shown import ShownTool
    from spindle_mcp.surface.shelf.views import SearchRule, View
    from spindle_mcp.surface.walks.request import GovernedRequest
    from spindle_mcp.surface.walks.walk import InFlight
    from spindle_mcp.upstream.fleet import Fleet
    from spindle_spi.ingress import Call
    from spindle_spi.invocation import InputRequired
    from spindle_spi.records import ServerSpec
    from spindle_spi.services import Services
    from spindle_spi.types import Json, JsonObject

FIND: Final = "find_tools"
CALL: Final = "call_tool"

_DEFAULT_LIMIT: Final = 10
_MAX_LIMIT: Final = 50
_MAX_INDEXES: Final = 32
_MAX_CANDIDATES: Final = 512
"""Tools that are compared by meaning."""
_MANY: Final = 500
_EMPTY: Final = (
    "No tool that you may use matches. Try other words: what the tool does, or what it works on."
)

_Key: TypeAlias = tuple[str, str | None]

FIND_TOOL: Final[JsonObject] = {
    "name": FIND,
    "title": "Find tools",
    "description": (
        "Search the tools that are available here by what they do. Returns the best matches with "
        f"their names, descriptions and input schemas; call one of them with {CALL}."
    ),
    "inputSchema": {
        "type": "object",
        "properties": {
            "query": {
                "type": "string",
                "minLength": 1,
                "maxLength": 1000,
                "description": "What the tool should do, in a few words.",
            },
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": _MAX_LIMIT,
                "default": _DEFAULT_LIMIT,
                "description": "Most tools to return.",
            },
        },
        "required": ["query"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}
CALL_TOOL: Final[JsonObject] = {
    "name": CALL,
    "title": "Call a tool",
    "description": (
        f"Call a tool that {FIND} returned, by its name and with arguments that fit its input "
        "schema. Returns what that tool returns."
    ),
    "inputSchema": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "description": "The tool's name."},
            "arguments": {"type": "object", "description": "Its arguments."},
        },
        "required": ["name"],
        "additionalProperties": False,
    },
}
_CHECKS: Final = {
    str(tool["name"]): ArgumentCheck(schema)
    for tool in (FIND_TOOL, CALL_TOOL)
    if isinstance(schema := tool["inputSchema"], dict)
}


class Search:
    """What a view in search mode lists in place of its tools; it holds them all the same."""

    __slots__ = ()

    def listed(self, version: str) -> list[JsonObject]:
        """Return the list of a version of the protocol."""
        written = (fits(version, tool) for tool in (CALL_TOOL, FIND_TOOL))
        return [tool for tool in written if tool is not None]


def searched_above(search_above: int | None) -> SearchRule:
    """Return what decides whether an endpoint's tools are searched.

    A virtual server may say it; of the others, those with more than so many tools are.
    """

    def decide(view: View, server: ServerSpec | None) -> Search | None:
        mode = None if server is None else server.mode

        if mode is None and search_above is not None and len(view.tools) > search_above:
            mode = "search"

        return Search() if mode == "search" else None

    return decide


class _Index:
    """The tools of a view, ready to be searched."""

    __slots__ = ("ranking", "state", "texts", "tools")

    def __init__(self, tools: Mapping[str, ShownTool]) -> None:
        self.state = _state(tools)
        self.tools = tuple(tools.values())
        documents = [words_of_tool(tool.name, tool.definition) for tool in self.tools]
        self.ranking = Ranking(documents)
        self.texts = tuple(" ".join(words) for words in documents)


class SearchedCalls(ToolCalls):
    """Carries out `tools/call`, the two tools of a search among them."""

    def __init__(
        self,
        services: Services,
        fleet: Fleet,
        turns: Turns,
        in_flight: InFlight,
        *,
        vectors: Vectors | None = None,
    ) -> None:
        super().__init__(services, fleet, turns, in_flight)
        self._vectors = vectors
        self._indexes: OrderedDict[_Key, _Index] = OrderedDict()

    async def call(
        self, view: View, call: Call, request: GovernedRequest
    ) -> JsonObject | InputRequired:
        """See `ToolCalls`."""
        # An upstream's tool of such a name is not what a client means that was told of ours.
        check = None if view.search is None else _CHECKS.get(request.name)

        if check is None:
            return await super().call(view, call, request)

        fault = check.fault_in(request.arguments)

        if fault is not None:
            return {"content": [{"type": "text", "text": fault}], "isError": True}

        if request.name == FIND:
            return await self._find(view, call, request.arguments)

        arguments = request.arguments.get("arguments")
        meant = replace(
            request,
            name=str(request.arguments["name"]),
            arguments=arguments if isinstance(arguments, dict) else {},
        )
        return await super().call(view, call, meant)

    async def _find(self, view: View, call: Call, arguments: JsonObject) -> JsonObject:
        question = str(arguments["query"])
        limit = arguments.get("limit", _DEFAULT_LIMIT)
        index = await self._index(view, call)
        order = index.ranking.ranked(question)

        if self._vectors is not None:
            order = await self._by_meaning(self._vectors, index, call, question, order)

        chosen = order[: limit if isinstance(limit, int) else _DEFAULT_LIMIT]
        found: list[Json] = [_shown(index.tools[number]) for number in chosen]
        text = json.dumps({"tools": found}, ensure_ascii=True) if found else _EMPTY
        return {
            "content": [{"type": "text", "text": text}],
            "structuredContent": {"tools": found},
        }

    async def _by_meaning(
        self, vectors: Vectors, index: _Index, call: Call, question: str, order: list[int]
    ) -> list[int]:
        some = [*order, *(n for n in range(len(index.tools)) if n not in set(order))]
        some = some[:_MAX_CANDIDATES]
        near = await vectors.ranked(call, question, [index.texts[number] for number in some])
        return fused(order, [some[place] for place in near])

    async def _index(self, view: View, call: Call) -> _Index:
        key = (call.view_key, call.server_slug)
        index = self._indexes.get(key)

        if index is None or index.state != _state(view.tools):
            if len(view.tools) < _MANY:
                index = _Index(view.tools)
            else:
                index = await anyio.to_thread.run_sync(_Index, view.tools)

            self._indexes[key] = index

        self._indexes.move_to_end(key)

        while len(self._indexes) > _MAX_INDEXES:
            self._indexes.popitem(last=False)

        return index


def _state(tools: Mapping[str, ShownTool]) -> list[tuple[str, str, int]]:
    """Return what an index depends on."""
    return [(name, tool.record.id, tool.record.epoch) for name, tool in tools.items()]


def _shown(tool: ShownTool) -> Json:
    """Return what a model needs to call a tool, whatever version its client speaks."""
    definition = tool.written(MODERN) or tool.definition
    kept = ("name", "title", "description", "inputSchema", "annotations")
    return {key: definition[key] for key in kept if key in definition}
