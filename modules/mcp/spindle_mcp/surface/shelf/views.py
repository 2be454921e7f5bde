"""What one class of callers sees on one endpoint, by the names it is shown by.

Kept by the core's view key, so that equal lists are built once; nothing here decides who sees what.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from spindle_mcp.naming import MAX_LENGTH
from spindle_mcp.offers import OFFERS, PROMPTS, RESOURCES, TEMPLATES, TOOLS
from spindle_mcp.surface.shelf.shown import (
    Shown,
    ShownPrompt,
    ShownResource,
    ShownTemplate,
    ShownTool,
    shown,
)
from spindle_mcp.uris import unscoped
from spindle_spi.errors import GatewayError
from spindle_spi.policy import Action, permission_for, permitted
from spindle_spi.records import Kind, ServerSpec, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from spindle_mcp.offers import Offer
    from spindle_mcp.surface.finding.search import Search
    from spindle_spi.catalog import CatalogService
    from spindle_spi.ingress import Call
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import JsonObject

_MAX_VIEWS: Final = 512
_MAX_SHOWN: Final = 40_000
_READ: Final = {offer.kind: permission_for(offer.kind, Action.READ) for offer in OFFERS}
_ALL: Final = frozenset(_READ)

_Key = tuple[str, str | None, frozenset[Kind]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URI that a caller said leads: to a resource, or to one that a template stands for."""

    shown: ShownResource | ShownTemplate
    gateway: str
    uri: str
    """As the upstream says it."""
    said: str
    """As the caller said it."""


class View:
    """What there is in one view, in the order of the names."""

    __slots__ = (
        "_lists",
        "_places",
        "encoded",
        "instructions",
        "is_bare",
        "prompts",
        "readable",
        "resources",
        "search",
        "templates",
        "tools",
    )

    def __init__(
        self,
        everything: Iterable[Shown] = (),
        *,
        instructions: str | None,
        readable: frozenset[Kind] = _ALL,
        is_bare: bool = False,
    ) -> None:
        ordered = sorted(everything, key=_name)
        self.tools = {one.name: one for one in ordered if isinstance(one, ShownTool)}
        self.resources = {one.name: one for one in ordered if isinstance(one, ShownResource)}
        self.templates = {one.name: one for one in ordered if isinstance(one, ShownTemplate)}
        self.prompts = {one.name: one for one in ordered if isinstance(one, ShownPrompt)}
        self.instructions = instructions
        self.readable = readable
        """Kinds the caller may list; names of others they may hold all the same."""
        self.is_bare = is_bare
        self.search: Search | None = None
        """What stands in the place of its list of tools, where it is searched."""
        self.encoded: dict[tuple[str, str], bytes] = {}
        """Whole answers by method and version, where somebody made them."""
        self._lists: dict[tuple[str, str], list[JsonObject]] = {}
        self._places: dict[str, list[ShownTemplate]] = {}

        for template in self.templates.values():
            self._places.setdefault(template.gateway or "", []).append(template)

    @property
    def is_readable(self) -> bool:
        """Whether the caller may list tools; if not, they may hold names and call them."""
        return Kind.TOOL in self.readable

    def of(self, offer: Offer) -> Mapping[str, Shown]:
        """Return what there is of a kind, by name."""
        match offer.kind:
            case Kind.TOOL:
                return self.tools
            case Kind.RESOURCE:
                return self.resources
            case Kind.RESOURCE_TEMPLATE:
                return self.templates
            case _:
                return self.prompts

    def listed(self, version: str, offer: Offer = TOOLS) -> list[JsonObject]:
        """Return the whole list of a kind in a version of the protocol."""
        if self.search is not None and offer is TOOLS:
            return self.search.listed(version)

        found = self._lists.get((offer.key, version))

        if found is None:
            written = (one.written(version) for one in self.of(offer).values())
            found = [one for one in written if one is not None]
            self._lists[offer.key, version] = found

        return found

    def place_of(self, said: str) -> Place | None:
        """Return where a URI leads that a caller said; None: nowhere that they see."""
        resource = self.resources.get(said)

        if resource is not None:
            return Place(resource, resource.gateway or "", resource.uri, said)

        if self.is_bare:
            candidates = [(gateway, said) for gateway in self._places]
        else:
            named = unscoped(said)
            candidates = [] if named is None else [named]

        for gateway, uri in candidates:
            for template in self._places.get(gateway, ()):
                if template.takes(uri):
                    return Place(template, gateway, uri, said)

        return None

    def standing(self) -> frozenset[str]:
        """Return the names of the records whose resources can be read in this view."""
        both = (*self.resources.values(), *self.templates.values())
        return frozenset(one.record.name for one in both)


SearchRule: TypeAlias = "Callable[[View, ServerSpec | None], Search | None]"
"""Decides whether a view is searched; without a server it is that of the whole catalog."""


def never_searched(view: View, server: ServerSpec | None) -> None:
    """Have every tool listed."""


class Views:
    """A bounded store of views and of what is shown in them."""

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
        self._views: OrderedDict[_Key, View] = OrderedDict()
        self._shown: OrderedDict[tuple[str, int, bool], Shown | None] = OrderedDict()

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
        key = _key(call)
        server = await self._server(call)
        is_bare = server is not None and server.prefix_free
        everything: list[Shown] = []

        for offer in (TOOLS, RESOURCES, TEMPLATES, PROMPTS):
            if offer.kind in key[2]:
                page = await self._catalog.list(call.context, offer.kind)
                made = (self._made(record, is_bare=is_bare) for record in page.records)
                everything += [one for one in made if one is not None]

        view = View(
            everything,
            instructions=None if server is None else server.instructions,
            readable=key[2],
            is_bare=is_bare,
        )
        view.search = self._search_rule(view, server) if view.is_readable else None
        self._views[key] = view

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

    def _made(self, record: CatalogRecord, *, is_bare: bool) -> Shown | None:
        key = (record.id, record.epoch, is_bare)

        if key not in self._shown:
            self._shown[key] = shown(record, is_bare=is_bare, limit=self._name_length)

            while len(self._shown) > _MAX_SHOWN:
                self._shown.popitem(last=False)

        return self._shown.get(key)


def _key(call: Call) -> _Key:
    return call.view_key, call.server_slug, _readable(call)


def _readable(call: Call) -> frozenset[Kind]:
    context = call.context
    kinds = [kind for kind, permission in _READ.items() if permitted(context, permission)]
    # Nearly everybody may list everything; one set for all of them is quick to compare.
    return _ALL if len(kinds) == len(_READ) else frozenset(kinds)


def _name(one: Shown) -> str:
    return one.name
