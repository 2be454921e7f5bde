"""Callers and records of a chat, and the tools another module serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict, Unpack

from spindle_conformance.fakes import caller
from spindle_spi.descriptor import ModuleDescriptor
from spindle_spi.invocation import Complete, Invocation, ProgressSink, Result
from spindle_spi.module import Module, ModuleContext, Started
from spindle_spi.records import (
    CatalogRecord,
    GatewaySpec,
    Kind,
    ModelSpec,
    ProviderSpec,
    RecordSpec,
    ServerSpec,
    ToolSpec,
    Visibility,
)
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from spindle_spi.context import AuthenticatedContext

Tool = Callable[[JsonObject], Awaitable[Result]]

EVERYTHING = ("llm.*", "servers.*", "tools.*", "gateways.*")


def context_of(
    email: str | None,
    *,
    token_id: str | None = None,
    teams: tuple[str, ...] = ("red",),
    permissions: tuple[str, ...] = EVERYTHING,
) -> AuthenticatedContext:
    """Return a caller."""
    return caller(email, *teams, token_id=token_id, permissions=permissions)


class Place(TypedDict, total=False):
    """Where a record stands beside its name and spec."""

    module: str
    visibility: Visibility
    team: str


def record(kind: Kind, name: str, spec: RecordSpec, **place: Unpack[Place]) -> CatalogRecord:
    """Return a record, public unless said otherwise; its id is made of its kind and name."""
    place.setdefault("visibility", Visibility.PUBLIC)
    return CatalogRecord(id=f"{kind.value}:{name}", kind=kind, name=name, spec=spec, **place)


def model(name: str, **place: Unpack[Place]) -> CatalogRecord:
    """Return the model of the simulated upstream that does what its name says."""
    spec = ModelSpec(provider="sim", upstream_name=name)
    place["module"] = "llm"
    return record(Kind.MODEL, f"sim~{name}", spec, **place)


def provider(url: str) -> CatalogRecord:
    """Return the provider every `model` belongs to."""
    spec = ProviderSpec(provider_type="openai", urls=(f"{url}/v1",), long_timeout=20.0)
    return record(Kind.PROVIDER, "sim", spec, module="llm")


def server(
    slug: str, *tools: str, prefix_free: bool = False, **place: Unpack[Place]
) -> CatalogRecord:
    """Return a virtual server that shows some tools."""
    spec = ServerSpec(slug=slug, tools=tools, prefix_free=prefix_free)
    return record(Kind.SERVER, f"Server {slug}", spec, **place)


def gateway() -> CatalogRecord:
    """Return the gateway every `tool` belongs to."""
    return record(Kind.GATEWAY, "demo", GatewaySpec(transport="builtin"), module="mcp")


def tool(name: str, **place: Unpack[Place]) -> CatalogRecord:
    """Return a tool of the gateway `demo`."""
    spec = ToolSpec(gateway="demo", upstream_name=name.removeprefix("demo-"), description="A tool.")
    place["module"] = "mcp"
    return record(Kind.TOOL, name, spec, **place)


@dataclass(slots=True)
class Tools(Module):
    """The module that serves the tools, each by a function."""

    functions: dict[str, Tool] = field(default_factory=dict[str, Tool])

    @property
    def descriptor(self) -> ModuleDescriptor:
        return ModuleDescriptor(
            module_id="mcp", protocol_family="mcp", module_version="1", serves=("tool",)
        )

    async def run(self, context: ModuleContext, started: Started) -> None:
        raise NotImplementedError

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        return await self.functions[invocation.target.name](invocation.arguments)


def text_result(text: str) -> Complete:
    """Return a tool's result that is one text."""
    return Complete(payload={"content": [{"type": "text", "text": text}]})
