"""Tools and the choice among them, as the Responses surface and a chat write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.surfaces.judging import invalid
from spindle_spi.errors import Unsupported

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject


def chat_tools(tools: Json) -> list[Json]:
    """Return the tools of a request as a chat writes them.

    Raises:
        InvalidArgument: One is no tool.
        Unsupported: One is run by the vendor itself.
    """
    if tools is None:
        return []

    if not isinstance(tools, list):
        raise invalid("tools", "must be a list")

    return [_chat_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools)]


def chat_choice(choice: Json) -> Json:
    """Return the choice among tools as a chat writes it.

    Raises:
        InvalidArgument: It is none.
        Unsupported: It names a tool of the vendor's.
    """
    if choice is None or isinstance(choice, str):
        return choice

    if not isinstance(choice, dict):
        raise invalid("tool_choice", "must be a text or an object")

    match choice.get("type"):
        case "function":
            return {"type": "function", "function": {"name": choice.get("name")}}
        case "custom":
            return {"type": "custom", "custom": {"name": choice.get("name")}}
        case "allowed_tools":
            tools = choice.get("tools")
            allowed: list[Json] = [
                chat_choice(tool) for tool in (tools if isinstance(tools, list) else [])
            ]
            named: JsonObject = {"mode": choice.get("mode", "auto"), "tools": allowed}
            return {"type": "allowed_tools", "allowed_tools": named}
        case kind:
            raise _vendors(f"{kind!s:.64}", "tool_choice")


def _chat_tool(tool: Json, place: str) -> JsonObject:
    if not isinstance(tool, dict):
        raise invalid(place, "must be an object")

    kind = tool.get("type")

    if kind not in ("function", "custom"):
        raise _vendors(f"{kind!s:.64}", place)

    if not isinstance(tool.get("name"), str):
        raise invalid(f"{place}.name", "must be a text")

    inner: JsonObject = {
        name: value for name, value in tool.items() if name != "type" and value is not None
    }
    grammar = inner.get("format")

    if kind == "custom" and isinstance(grammar, dict) and grammar.get("type") == "grammar":
        rules = {name: value for name, value in grammar.items() if name != "type"}
        inner["format"] = {"type": "grammar", "grammar": rules}

    return {"type": kind, kind: inner}


def _vendors(kind: str, place: str) -> Unsupported:
    return Unsupported(
        f"{place}: tools of type {kind!r} are run by the vendor, not by this gateway.",
        code="llm.parameter.unsupported",
        param=place,
    )
