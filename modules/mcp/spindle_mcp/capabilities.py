"""What clients declare they can do, and what of it goes on to upstreams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

_CALLBACKS: Final = frozenset({"elicitation", "roots", "sampling"})
"""What an upstream may ask a client for while a request runs."""
UI: Final = "io.modelcontextprotocol/ui"
"""The extension of user interfaces: ours to hand on, the clients' to show."""
_EXTENSIONS: Final = frozenset({UI})
"""Extensions that work through us because we hand on what belongs to them."""
OURS: Final[JsonObject] = {"extensions": {UI: {"mimeTypes": ["text/html;profile=mcp-app"]}}}
"""What upstreams are told where no client stands behind us: they offer interfaces only then."""


def callbacks_in(capabilities: JsonObject) -> JsonObject:
    """Return what a client can be asked for; empty when nothing."""
    return {
        name: value
        for name, value in capabilities.items()
        if name in _CALLBACKS and isinstance(value, dict)
    }


def relayed_capabilities(capabilities: JsonObject) -> JsonObject:
    """Return what upstreams are told a client can do: what holds through us as well."""
    if not capabilities:
        return {}

    relayed = callbacks_in(capabilities)
    extensions = capabilities.get("extensions")

    if isinstance(extensions, dict):
        known = {name: value for name, value in extensions.items() if name in _EXTENSIONS}

        if known:
            relayed["extensions"] = known

    return relayed


def required_for(method: str, params: JsonObject) -> JsonObject | None:
    """Return the capabilities a client needs to be asked this; None: no client can be asked it."""
    match method:
        case "roots/list":
            return {"roots": {}}
        case "sampling/createMessage":
            return {"sampling": {"tools": {}} if "tools" in params else {}}
        case "elicitation/create":
            return {"elicitation": {"url": {}} if params.get("mode") == "url" else {}}
        case _:
            return None


def lacks(capabilities: JsonObject, required: JsonObject) -> bool:
    """Tell whether a client did not declare something that is required."""
    for name, parts in required.items():
        declared = capabilities.get(name)

        if not isinstance(declared, dict):
            return True

        if isinstance(parts, dict) and any(part not in declared for part in parts):
            return True

        # One that only says `url` cannot show a form; one that says nothing can.
        if name == "elicitation" and not parts and declared and "form" not in declared:
            return True

    return False
