"""Hosts and records the tests of the MCP module begin with, a plugin, and a short look at a log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spindle_conformance.fakes import FakeHost
from spindle_spi.plugin import Finding, HookPhase, Plugin, SegmentKind
from spindle_spi.records import CatalogRecord, GatewaySpec, Kind, ServerSpec, Visibility

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle_spi.types import Json

REQUEST, ANSWER = HookPhase.PRE_INVOKE, HookPhase.POST_INVOKE


def demo_host() -> FakeHost:
    """Return a host whose only record is the built-in gateway's."""
    return FakeHost([gateway("demo", transport="builtin")])


def gateway(name: str, **spec: object) -> CatalogRecord:
    """Return the record of a gateway everybody sees."""
    made = GatewaySpec(**spec)  # type: ignore[arg-type] # the tests' own shorthand
    return CatalogRecord(
        id=f"gw-{name}",
        kind=Kind.GATEWAY,
        name=name,
        spec=made,
        module="mcp",
        visibility=Visibility.PUBLIC,
    )


def server(slug: str, **spec: object) -> CatalogRecord:
    """Return the record of a virtual server everybody sees."""
    made = ServerSpec(slug=slug, **spec)  # type: ignore[arg-type] # the tests' own shorthand
    return CatalogRecord(
        id=f"sv-{slug}", kind=Kind.SERVER, name=slug, spec=made, visibility=Visibility.PUBLIC
    )


def tool_record(host: FakeHost, name: str) -> CatalogRecord:
    """Return the record of a tool that is there."""
    record = host.records.find(Kind.TOOL, name)
    assert record is not None
    return record


def has_tool(host: FakeHost, name: str) -> bool:
    """Tell whether a tool is in the catalog."""
    return host.records.find(Kind.TOOL, name) is not None


def count_tools(host: FakeHost) -> int:
    """Return how many tools are in the catalog."""
    return sum(record.kind is Kind.TOOL for record in host.records)


def logged(host: FakeHost, event: str) -> list[Mapping[str, Json]]:
    """Return the fields of every log line about an event."""
    return [line.fields for line in host.journal.logged if line.event == event]


class Word(Plugin):
    """Replaces one word, or refuses it; "" is in no text."""

    name = "test"
    kinds = frozenset(SegmentKind)

    def __init__(self, word: str = "", replacement: str | None = None, *phases: HookPhase) -> None:
        super().__init__()
        self.word = word
        self.replacement = replacement
        self.phases = frozenset(phases or (REQUEST, ANSWER))

    def scan(self, text: str, start: int) -> Sequence[Finding]:
        found = re.compile(re.escape(self.word)).finditer(text, start) if self.word else ()
        return tuple(
            Finding(start=at.start(), end=at.end(), rule="word", replacement=self.replacement)
            for at in found
        )
