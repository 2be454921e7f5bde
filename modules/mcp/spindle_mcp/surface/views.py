"""What one class of callers sees on one endpoint: its tools by the names it is shown.

Kept by the core's view key, so that equal lists are built once; nothing here decides who sees what.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, TypeAlias

from mcp.shared.inbound import x_mcp_header_map

from spindle_mcp.eras import fits
from spindle_mcp.naming import MAX_LENGTH, bare_name
from spindle_mcp.surface.arguments import ArgumentCheck
from spindle_spi.errors import GatewayError
from spindle_spi.policy import Action, permission_for, permitted
from spindle_spi.records import Kind, ServerSpec, Target, ToolSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_mcp.surface.search import Search
    from spindle_spi.catalog import CatalogService
    from spindle_spi.ingress import Call
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import Json, JsonObject

_MAX_VIEWS: Final = 512
_MAX_TOOLS: Final = 20_000
_READ = permission_for(Kind.TOOL, Action.READ)


class ShownTool:
    """One tool under the name it is shown by. Shared by every view that shows it so."""

    __slots__ = (
        "_definition",
        "_written",
        "arguments",
        "is_mirrored",
        "is_ours",
        "name",
        "record",
    )

    def __init__(self, name: str, record: CatalogRecord, spec: ToolSpec) -> None:
        self.name = name
        self.record = record
        self.is_ours = spec.gateway is not None
        self.is_mirrored = bool(x_mcp_header_map(spec.input_schema))
        """Whether some of its arguments also stand in headers."""
        self.arguments = ArgumentCheck(spec.input_schema)
        self._definition: JsonObject = {**_definition(spec), "name": name}
        self._written: dict[str, JsonObject | None] = {}

    @property
    def definition(self) -> JsonObject:
        """What is shown of it, before any version of the protocol writes it."""
        return self._definition

    @property
    def input_schema(self) -> Json:
        """Its input schema."""
        return self._definition["inputSchema"]

    def written(self, version: str) -> JsonObject | None:
        """Return it as a version of the protocol writes it; None when it cannot be said there."""
        if version not in self._written:
            self._written[version] = fits(version, self._definition)

        return self._written[version]


class View:
    """The tools of one view, in the order of their names."""

    __slots__ = ("_lists", "encoded", "instructions", "is_readable", "search", "tools")

    def __init__(
        self, tools: dict[str, ShownTool], *, instructions: str | None, is_readable: bool = True
    ) -> None:
        self.tools = tools
        self.instructions = instructions
        self.is_readable = is_readable
        """False: the caller may not list tools, but may hold names and call them."""
        self.search: Search | None = None
        """What stands in the place of its list of tools, where it is searched."""
        self.encoded: dict[str, bytes] = {}
        """The whole answer to `tools/list` by version, where somebody made it."""
        self._lists: dict[str, list[JsonObject]] = {}

    def listed(self, version: str) -> list[JsonObject]:
        """Return the list of a version of the protocol."""
        if self.search is not None:
            return self.search.listed(version)

        found = self._lists.get(version)

        if found is None:
            written = (tool.written(version) for tool in self.tools.values())
            found = self._lists[version] = [tool for tool in written if tool is not None]

        return found


SearchRule: TypeAlias = "Callable[[View, ServerSpec | None], Search | None]"
"""Decides whether a view is searched; without a server it is that of the whole catalog."""


def never_searched(view: View, server: ServerSpec | None) -> None:
    """Have every tool listed."""


class Views:
    """A bounded store of views and of the tools in them."""

    def __init__(
        self,
        catalog: CatalogService,
        *,
        name_length: int = MAX_LENGTH,
        search_rule: SearchRule = never_searched,
    ) -> None:
        self._catalog = catalog
        self._name_length = name_length
        self._search_rule = search_rule
        self._views: OrderedDict[tuple[str, str | None, bool], View] = OrderedDict()
        self._tools: OrderedDict[tuple[str, int, str], ShownTool] = OrderedDict()

    def known(self, call: Call) -> View | None:
        """Return the view of a call if it has been built."""
        key = _key(call)
        view = self._views.get(key)

        if view is not None:
            self._views.move_to_end(key)

        return view

    async def view(self, call: Call) -> View:
        """Return the view of a call."""
        return self.known(call) or await self._build(call)

    def forget(self) -> None:
        """Build every view again: the catalog changed. What of it did not is not built again."""
        self._views.clear()

    async def _build(self, call: Call) -> View:
        context = call.context
        server = await self._server(call)
        instructions = None if server is None else server.instructions

        if not _may_list(call):
            view = View({}, instructions=instructions, is_readable=False)
        else:
            page = await self._catalog.list(context, Kind.TOOL)
            is_bare = server is not None and server.prefix_free
            shown = (self._shown(record, is_bare=is_bare) for record in page.records)
            named = {tool.name: tool for tool in shown if tool is not None}
            view = View(dict(sorted(named.items())), instructions=instructions)
            view.search = self._search_rule(view, server)

        self._views[_key(call)] = view

        while len(self._views) > _MAX_VIEWS:
            self._views.popitem(last=False)

        return view

    async def _server(self, call: Call) -> ServerSpec | None:
        if call.server_slug is None:
            return None

        try:
            record = await self._catalog.fetch(
                call.context, Target(kind=Kind.SERVER, name=call.server_slug)
            )
        except GatewayError:
            # A server that went away meanwhile shows its tools by their full names, if any.
            return None

        return record.spec if isinstance(record.spec, ServerSpec) else None

    def _shown(self, record: CatalogRecord, *, is_bare: bool) -> ShownTool | None:
        spec = record.spec

        if not isinstance(spec, ToolSpec):
            return None

        name = record.name

        if is_bare and spec.gateway is not None:
            name = bare_name(spec.upstream_name, self._name_length)

        key = (record.id, record.epoch, name)
        tool = self._tools.get(key)

        if tool is None:
            tool = self._tools[key] = ShownTool(name, record, spec)

            while len(self._tools) > _MAX_TOOLS:
                self._tools.popitem(last=False)

        return tool


def _key(call: Call) -> tuple[str, str | None, bool]:
    return call.view_key, call.server_slug, _may_list(call)


def _may_list(call: Call) -> bool:
    return permitted(call.context, _READ)


def _definition(spec: ToolSpec) -> JsonObject:
    if spec.definition:
        return {**spec.definition, "inputSchema": spec.input_schema}

    definition: JsonObject = {
        "name": "",
        "description": spec.description,
        "inputSchema": spec.input_schema or {"type": "object"},
    }

    if spec.title is not None:
        definition["title"] = spec.title

    if spec.output_schema is not None:
        definition["outputSchema"] = spec.output_schema

    return definition
