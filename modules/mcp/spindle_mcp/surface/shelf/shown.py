"""What callers are shown: a tool, resource, template or prompt under the name an endpoint gives it.

Shared by every view that shows it so; each is written once for each version of the protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.shared.inbound import x_mcp_header_map

from spindle_mcp.eras import fits
from spindle_mcp.links import scoped_meta
from spindle_mcp.matching import TemplateMatch
from spindle_mcp.naming import MAX_LENGTH, bare_name
from spindle_mcp.offers import PROMPTS, RESOURCES, TEMPLATES, TOOLS
from spindle_mcp.surface.shelf.arguments import ArgumentCheck
from spindle_spi.records import PromptSpec, ResourceSpec, ResourceTemplateSpec, ToolSpec

if TYPE_CHECKING:
    from spindle_mcp.offers import Offer
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import Json, JsonObject


class Shown:
    """One thing under the name it is shown by."""

    __slots__ = ("_definition", "_written", "gateway", "is_bare", "name", "offer", "record")

    def __init__(
        self, name: str, record: CatalogRecord, gateway: str | None, *, is_bare: bool, offer: Offer
    ) -> None:
        self.name = name
        self.record = record
        self.gateway = gateway
        """Whose it is; None: no upstream's."""
        self.is_bare = is_bare
        """Whether it goes by its upstream's own names."""
        self.offer = offer
        self._definition: JsonObject = {}
        self._written: dict[str, JsonObject | None] = {}

    @property
    def definition(self) -> JsonObject:
        """What is shown of it, before any version of the protocol writes it."""
        return self._definition

    @property
    def is_ours(self) -> bool:
        """Whether an upstream of this module serves it."""
        return self.gateway is not None and self.record.module == "mcp"

    def define(self, definition: JsonObject, name_key: str) -> None:
        """Take what the protocol shows of it; here it has the name it is shown by."""
        self._definition = {**definition, name_key: self.name}
        description = self.record.description

        if description and description != definition.get("description"):
            # What people say of it, instead of its upstream.
            self._definition["description"] = description

        if self.gateway is not None and not self.is_bare and "_meta" in definition:
            self._definition["_meta"] = scoped_meta(self.gateway, definition["_meta"])

    def written(self, version: str) -> JsonObject | None:
        """Return it as a version of the protocol writes it; None when it cannot be said there."""
        if version not in self._written:
            self._written[version] = fits(version, self._definition, self.offer)

        return self._written[version]


class ShownTool(Shown):
    """A tool."""

    __slots__ = ("arguments", "is_mirrored")

    def __init__(self, name: str, record: CatalogRecord, spec: ToolSpec, *, is_bare: bool) -> None:
        super().__init__(name, record, spec.gateway, is_bare=is_bare, offer=TOOLS)
        self.is_mirrored = bool(x_mcp_header_map(spec.input_schema))
        """Whether some of its arguments also stand in headers."""
        self.arguments = ArgumentCheck(spec.input_schema)
        self.define(_tool_definition(spec), "name")

    @property
    def is_ours(self) -> bool:
        """Whether it is of an upstream; no other module has any."""
        return self.gateway is not None

    @property
    def input_schema(self) -> Json:
        """Its input schema."""
        return self._definition["inputSchema"]


class ShownResource(Shown):
    """A resource; its name is its URI."""

    __slots__ = ("uri",)

    def __init__(
        self, name: str, record: CatalogRecord, spec: ResourceSpec, *, is_bare: bool
    ) -> None:
        super().__init__(name, record, spec.gateway, is_bare=is_bare, offer=RESOURCES)
        self.uri = spec.uri
        self.define(_definition(spec.definition, spec.uri), "uri")


class ShownTemplate(Shown):
    """A template of resources; its name is the template."""

    __slots__ = ("_match", "uri")

    def __init__(
        self, name: str, record: CatalogRecord, spec: ResourceTemplateSpec, *, is_bare: bool
    ) -> None:
        super().__init__(name, record, spec.gateway, is_bare=is_bare, offer=TEMPLATES)
        self.uri = spec.uri_template
        self._match = _match(spec.uri_template)
        self.define(_definition(spec.definition, spec.uri_template), "uriTemplate")

    def takes(self, uri: str) -> bool:
        """Tell whether it stands for a URI of its upstream."""
        return self._match is not None and self._match.takes(uri)


class ShownPrompt(Shown):
    """A prompt."""

    __slots__ = ("upstream_name",)

    def __init__(
        self, name: str, record: CatalogRecord, spec: PromptSpec, *, is_bare: bool
    ) -> None:
        super().__init__(name, record, spec.gateway, is_bare=is_bare, offer=PROMPTS)
        self.upstream_name = spec.upstream_name
        self.define(_definition(spec.definition, spec.upstream_name), "name")


def shown(record: CatalogRecord, *, is_bare: bool, limit: int = MAX_LENGTH) -> Shown | None:
    """Return a record as an endpoint shows it, by its upstream's names where that is `is_bare`."""
    match record.spec:
        case ToolSpec() as spec:
            is_bare = is_bare and spec.gateway is not None
            name = bare_name(spec.upstream_name, limit) if is_bare else record.name
            return ShownTool(name, record, spec, is_bare=is_bare)
        case ResourceSpec() as spec:
            name = spec.uri if is_bare else record.name
            return ShownResource(name, record, spec, is_bare=is_bare)
        case ResourceTemplateSpec() as spec:
            name = spec.uri_template if is_bare else record.name
            return ShownTemplate(name, record, spec, is_bare=is_bare)
        case PromptSpec() as spec:
            name = bare_name(spec.upstream_name, limit) if is_bare else record.name
            return ShownPrompt(name, record, spec, is_bare=is_bare)
        case _:
            return None


def _match(template: str) -> TemplateMatch | None:
    try:
        return TemplateMatch(template)
    except ValueError:
        # Published by somebody else's rules: shown, but it stands for nothing.
        return None


def _definition(definition: JsonObject, name: str) -> JsonObject:
    return definition or {"name": name}


def _tool_definition(spec: ToolSpec) -> JsonObject:
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
