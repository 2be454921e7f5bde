"""What an upstream says it offers, made into records. A bad item is left out and told of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.matching import TemplateMatch
from spindle_mcp.offers import TOOLS
from spindle_mcp.upstream.offers.soundness import (
    Flaw,
    flaw_of_item,
    flaw_of_name,
    flaw_of_tool,
    without_foreign,
)
from spindle_mcp.uris import scoped
from spindle_spi.records import (
    Kind,
    LeftOut,
    PromptSpec,
    PublishedRecord,
    ResourceSpec,
    ResourceTemplateSpec,
    ToolSpec,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_mcp.naming import Naming
    from spindle_mcp.offers import Offer
    from spindle_spi.records import RecordSpec
    from spindle_spi.types import Json, JsonObject

_AT_ONCE: Final = 20
"""Items between two chances for everybody else."""
_MAX_LEFT_OUT: Final = 1000
"""Items told of one by one; of the others there is a count."""
_MAX_LABEL: Final = 100
_MAX_NAME: Final = 1024
"""Characters of the longest name that a record may have."""
_LABELS: Final = {Kind.RESOURCE: "uri", Kind.RESOURCE_TEMPLATE: "uriTemplate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Harvest:
    """The records of one listing, and what was left out of it with the reason."""

    records: tuple[PublishedRecord, ...]
    left_out: tuple[LeftOut, ...]


async def harvest(
    naming: Naming, items: Iterable[JsonObject], limit: int, offer: Offer = TOOLS
) -> Harvest:
    """Return the records for what an upstream offers of a kind, at most `limit` of them.

    A long list takes a while; calls to other upstreams go on meanwhile.
    """
    records: dict[str, PublishedRecord] = {}
    left_out: list[LeftOut] = []

    for number, item in enumerate(items, start=1):
        if number % _AT_ONCE == 0:
            await anyio.lowlevel.checkpoint()

        said = item.get(_LABELS.get(offer.kind, "name"))
        label = said if isinstance(said, str) else ""

        if len(records) >= limit:
            # What is left out anyway is not looked at.
            surplus = Flaw(f"more than {limit} {offer.word}s")
            left_out.append(_left_out(offer.kind, label, surplus))
            continue

        name = _name(naming, offer.kind, label)
        flaw = _flaw_of(offer, item)

        if name in records and (flaw is None or flaw.is_partial):
            flaw = Flaw("its name is given twice")

        if offer.kind is Kind.TOOL and (flaw is None or flaw.is_partial):
            item, narrowed = without_foreign(item)
            flaw = narrowed if flaw is None else flaw.beside(narrowed)

        if flaw is None or flaw.is_partial:
            records[name] = PublishedRecord(
                kind=offer.kind,
                name=name,
                description=_text(item.get("description")) or "",
                spec=_spec(naming.gateway, offer.kind, label, item),
            )

        if flaw is not None:
            left_out.append(_left_out(offer.kind, label, flaw))

    return Harvest(records=tuple(records.values()), left_out=_bounded(offer.kind, left_out))


def _left_out(kind: Kind, label: str, flaw: Flaw) -> LeftOut:
    shown = label if label.isprintable() else ascii(label)
    return LeftOut(
        kind=kind, name=shown[:_MAX_LABEL], reason=flaw.reason, is_partial=flaw.is_partial
    )


def _bounded(kind: Kind, left_out: list[LeftOut]) -> tuple[LeftOut, ...]:
    more = len(left_out) - _MAX_LEFT_OUT

    if more <= 0:
        return tuple(left_out)

    rest = LeftOut(kind=kind, name="", reason=f"and {more} more are left out")
    return (*left_out[:_MAX_LEFT_OUT], rest)


def _name(naming: Naming, kind: Kind, label: str) -> str:
    return scoped(naming.gateway, label) if kind in _LABELS else naming.unified(label)


def _flaw_of(offer: Offer, item: JsonObject) -> Flaw | None:
    flaw = flaw_of_name(item.get("name"))

    if flaw is not None:
        return flaw

    fault: str | None = None

    match offer.kind:
        case Kind.TOOL:
            return flaw_of_tool(item)
        case Kind.RESOURCE:
            fault = _fault_of_address(item.get("uri"))
        case Kind.RESOURCE_TEMPLATE:
            fault = _fault_of_template(item.get("uriTemplate"))
        case _:
            pass

    return flaw_of_item(item, offer) if fault is None else Flaw(fault)


def _fault_of_address(uri: Json) -> str | None:
    if not isinstance(uri, str) or not uri:
        return "it has no URI"

    if len(uri) > _MAX_NAME // 2:
        return f"its URI is longer than {_MAX_NAME // 2} characters"

    try:
        uri.encode()
    except UnicodeEncodeError:
        return "its URI is no text"

    return None


def _fault_of_template(template: Json) -> str | None:
    fault = _fault_of_address(template)

    if fault is None:
        try:
            TemplateMatch(str(template))
        except ValueError:
            return "its URI template is of a form that is not understood"

    return fault


def _spec(gateway: str, kind: Kind, label: str, item: JsonObject) -> RecordSpec:
    match kind:
        case Kind.RESOURCE:
            return ResourceSpec(
                gateway=gateway,
                uri=label,
                mime_type=_text(item.get("mimeType")),
                definition=item,
            )
        case Kind.RESOURCE_TEMPLATE:
            return ResourceTemplateSpec(
                gateway=gateway,
                uri_template=label,
                mime_type=_text(item.get("mimeType")),
                definition=item,
            )
        case Kind.PROMPT:
            return PromptSpec(
                gateway=gateway,
                upstream_name=label,
                arguments=_arguments(item.get("arguments")),
                definition=item,
            )
        case _:
            return ToolSpec(
                gateway=gateway,
                upstream_name=label,
                title=_text(item.get("title")),
                description=_text(item.get("description")) or "",
                input_schema=_object(item.get("inputSchema")) or {},
                output_schema=_object(item.get("outputSchema")),
                definition=item,
            )


def _arguments(value: Json) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else []
    names = (_text(one.get("name")) for one in listed if isinstance(one, dict))
    return tuple(name for name in names if name is not None)


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _object(value: Json) -> JsonObject | None:
    return value if isinstance(value, dict) else None
