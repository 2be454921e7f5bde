"""What an upstream says it offers, made into records. A bad tool is left out and told of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spindle_mcp.upstream.soundness import Flaw, flaw_of_name, flaw_of_tool
from spindle_spi.records import Kind, LeftOut, PublishedRecord, ToolSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_mcp.naming import Naming
    from spindle_spi.types import Json, JsonObject

_MAX_LEFT_OUT: Final = 1000
"""Items told of one by one; of the others there is a count."""
_MAX_LABEL: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Harvest:
    """The records of one listing, and what was left out of it with the reason."""

    records: tuple[PublishedRecord, ...]
    left_out: tuple[LeftOut, ...]


def harvest(naming: Naming, tools: Iterable[JsonObject], limit: int) -> Harvest:
    """Return the records for an upstream's tools, at most `limit` of them."""
    records: dict[str, PublishedRecord] = {}
    left_out: list[LeftOut] = []

    for tool in tools:
        name = tool.get("name")
        label = name if isinstance(name, str) else ""
        unified = naming.unified(label)
        flaw = flaw_of_name(name) or flaw_of_tool(tool)

        if unified in records and (flaw is None or flaw.is_partial):
            flaw = Flaw("its name is given twice")
        elif len(records) >= limit and (flaw is None or flaw.is_partial):
            flaw = Flaw(f"more than {limit} tools")

        if flaw is None or flaw.is_partial:
            records[unified] = _record(naming.gateway, unified, label, tool)

        if flaw is not None:
            left_out.append(_left_out(label, flaw))

    return Harvest(records=tuple(records.values()), left_out=_bounded(left_out))


def _left_out(label: str, flaw: Flaw) -> LeftOut:
    shown = label if label.isprintable() else ascii(label)
    return LeftOut(
        kind=Kind.TOOL,
        name=shown[:_MAX_LABEL],
        reason=flaw.reason,
        is_partial=flaw.is_partial,
    )


def _bounded(left_out: list[LeftOut]) -> tuple[LeftOut, ...]:
    more = len(left_out) - _MAX_LEFT_OUT

    if more <= 0:
        return tuple(left_out)

    rest = LeftOut(kind=Kind.TOOL, name="", reason=f"and {more} more are left out")
    return (*left_out[:_MAX_LEFT_OUT], rest)


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
