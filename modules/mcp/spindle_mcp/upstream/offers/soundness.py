"""Whether a tool an upstream lists can be offered to anybody, and to whom; with the reason.

One tool that a client cannot read spoils its whole list, and one schema that a model's API refuses
spoils the whole request: what is not sound is kept out, alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from spindle_mcp.eras import LEGACY, MODERN, fits
from spindle_mcp.offers import TOOLS
from spindle_mcp.upstream.http.headers import has_bad_headers
from spindle_mcp.upstream.offers.foreign import self_contained
from spindle_mcp.upstream.offers.schemas import fault_of_schema, too_much_of

if TYPE_CHECKING:
    from spindle_mcp.offers import Offer
    from spindle_spi.types import Json, JsonObject

_MAX_NAME: Final = 512
_MAX_BYTES: Final = 256 * 1024
_ERAS: Final = (MODERN, LEGACY)
_SCHEMAS: Final = {"inputSchema": "input schema", "outputSchema": "output schema"}


class Flaw(NamedTuple):
    """What is wrong with something an upstream offers."""

    reason: str
    is_partial: bool = False
    """It can be offered all the same, if only to some clients or with less said of it."""

    def beside(self, other: Flaw | None) -> Flaw:
        """Return it and another partial one as one."""
        return self if other is None else Flaw(f"{self.reason}; {other.reason}", is_partial=True)


def flaw_of_name(name: Json) -> Flaw | None:
    """Return what is wrong with the name an upstream gives something; None when nothing is."""
    if not isinstance(name, str) or not name.strip():
        return Flaw("it has no name")

    if len(name) > _MAX_NAME:
        return Flaw(f"its name is longer than {_MAX_NAME} characters")

    return None if name.isprintable() else Flaw("its name has characters that cannot be shown")


def flaw_of_tool(tool: JsonObject) -> Flaw | None:
    """Return what is wrong with a tool; None when nothing is."""
    fault = _fault_of_size(tool) or _fault_of_schemas(tool)

    if fault is not None:
        return Flaw(fault)

    if has_bad_headers(tool):
        return Flaw("it mirrors arguments into headers in a way that is not allowed")

    return _flaw_of_eras(tool, TOOLS)


def without_foreign(tool: JsonObject) -> tuple[JsonObject, Flaw | None]:
    """Return a sound tool as it is offered: its schemas refer to no other document."""
    offered, told = dict(tool), list[str]()

    for key, said in _SCHEMAS.items():
        schema = tool.get(key)

        if isinstance(schema, dict):
            offered[key], note = self_contained(schema)
            told += [] if note is None else [f"its {said} {note}"]

    return (offered, Flaw("; ".join(told), is_partial=True)) if told else (tool, None)


def flaw_of_item(item: JsonObject, offer: Offer) -> Flaw | None:
    """Return what is wrong with a prompt, resource or template; None when nothing is."""
    fault = _fault_of_size(item)
    return _flaw_of_eras(item, offer) if fault is None else Flaw(fault)


def _fault_of_size(tool: JsonObject) -> str | None:
    fault = too_much_of(tool)

    if fault is not None:
        return f"its definition {fault}"

    try:
        size = len(json.dumps(tool, ensure_ascii=False, allow_nan=False).encode())
    except UnicodeEncodeError:
        return "its definition has half a character in it"
    except ValueError:
        return "its definition has a number that is not JSON"

    if size > _MAX_BYTES:
        return f"its definition is larger than {_MAX_BYTES // 1024} KiB"

    return None


def _fault_of_schemas(tool: JsonObject) -> str | None:
    if not isinstance(tool.get("inputSchema"), dict):
        return "it has no input schema"

    for key, said in _SCHEMAS.items():
        schema = tool.get(key)
        fault = fault_of_schema(schema) if isinstance(schema, dict) else None

        if fault is not None:
            return f"its {said} {fault}"

    return None


def _flaw_of_eras(item: JsonObject, offer: Offer) -> Flaw | None:
    shown = [era for era in _ERAS if fits(era, item, offer) is not None]

    if not shown:
        return Flaw("its definition breaks the protocol")

    if len(shown) == len(_ERAS):
        return None

    (other,) = set(_ERAS) - set(shown)
    return Flaw(
        f"its definition breaks the protocol of {other}: only clients of {shown[0]} are shown it",
        is_partial=True,
    )
