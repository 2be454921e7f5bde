"""What an upstream says it offers, made into records. A bad tool is left out and told of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.eras import LEGACY, MODERN, fits
from spindle_mcp.naming import unified_name
from spindle_mcp.upstream.headers import has_bad_headers
from spindle_spi.records import Kind, PublishedRecord, ToolSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_spi.types import Json, JsonObject

_AT_ONCE: Final = 20
"""Tools between two chances for everybody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harvest:
    """The records of one listing, and what was left out of it with the reason."""

    records: tuple[PublishedRecord, ...]
    left_out: tuple[tuple[str, str], ...]


async def harvest(gateway: str, tools: Iterable[JsonObject], limit: int) -> Harvest:
    """Return the records for an upstream's tools, at most `limit` of them.

    A long list takes a while; calls to other upstreams go on meanwhile.
    """
    records: dict[str, PublishedRecord] = {}
    left_out: list[tuple[str, str]] = []

    for number, tool in enumerate(tools, start=1):
        if number % _AT_ONCE == 0:
            await anyio.lowlevel.checkpoint()

        name = tool.get("name")
        label = name if isinstance(name, str) else "?"

        if len(records) >= limit:
            # What is left out anyway is not looked at.
            left_out.append((label, f"more than {limit} tools"))
            continue

        reason = _fault_of(tool)
        unified = unified_name(gateway, label)

        if reason is None and unified in records:
            reason = "its name is given twice"

        if reason is None:
            records[unified] = _record(gateway, unified, label, tool)
        else:
            left_out.append((label, reason))

    return Harvest(records=tuple(records.values()), left_out=tuple(left_out))


def _fault_of(tool: JsonObject) -> str | None:
    name = tool.get("name")

    if not isinstance(name, str) or not name:
        return "it has no name"

    if not isinstance(tool.get("inputSchema"), dict):
        return "it has no input schema"

    if fits(MODERN, tool) is None and fits(LEGACY, tool) is None:
        return "its definition breaks the protocol"

    if has_bad_headers(tool):
        return "it mirrors arguments into headers in a way that is not allowed"

    return None


def _record(gateway: str, unified: str, name: str, tool: JsonObject) -> PublishedRecord:
    return PublishedRecord(
        kind=Kind.TOOL,
        name=unified,
        description=_text(tool.get("description")) or "",
        spec=ToolSpec(
            gateway=gateway,
            upstream_name=name,
            title=_text(tool.get("title")),
            description=_text(tool.get("description")) or "",
            input_schema=_object(tool.get("inputSchema")) or {},
            output_schema=_object(tool.get("outputSchema")),
            definition=tool,
        ),
    )


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _object(value: Json) -> JsonObject | None:
    return value if isinstance(value, dict) else None
