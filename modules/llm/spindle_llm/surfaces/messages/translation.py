"""A request in Anthropic's form in the lingua franca."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from spindle_llm.providers.extensions import ANTHROPIC
from spindle_llm.surfaces.judging import invalid, object_of
from spindle_llm.surfaces.messages.turns import messages_of, system_of
from spindle_spi.errors import Unsupported

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_SAME: Final = ("model", "stream", "max_tokens", "temperature", "top_p", "top_k")
_NATIVE: Final = frozenset(
    {
        *("thinking", "output_config", "metadata", "service_tier", "cache_control"),
        *("container", "context_management", "inference_geo", "speed"),
    }
)
"""What goes along for an upstream of Anthropic's, whether the lingua franca says it or not."""
_JUDGED: Final = frozenset(
    {*_SAME, *_NATIVE, "messages", "system", "stop_sequences", "tools", "tool_choice"}
)
_TOOL: Final = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_TIERS: Final = {"auto": "auto", "standard_only": "default"}
_LONGEST_USER: Final = 64
"""Characters of a user's id that every upstream takes."""
_LOW, _MEDIUM = 2048, 8192
"""Tokens of thought up to which an effort is low, or medium."""


def translated(request: JsonObject, betas: tuple[str, ...]) -> tuple[JsonObject, tuple[str, ...]]:
    """Return a request in the lingua franca, and the names of what it has no word for.

    Raises:
        InvalidArgument: It cannot be understood.
        Unsupported: It asks for what only Anthropic's own servers do.
    """
    if request.get("mcp_servers"):
        raise _server_side("mcp_servers")

    made: JsonObject = {name: request[name] for name in _SAME if request.get(name) is not None}
    made["messages"] = [*system_of(request.get("system")), *messages_of(request.get("messages"))]
    lost = [name for name in request if name not in _JUDGED and request[name] is not None]
    lost += _add_tools(request, made)
    stop = request.get("stop_sequences")

    if stop:
        made["stop"] = stop

    _add_thoughts(request, made)
    user = object_of(request.get("metadata"), "metadata").get("user_id")
    tier = request.get("service_tier")

    if isinstance(user, str) and user:
        made["user"] = user if len(user) <= _LONGEST_USER else sha256(user.encode()).hexdigest()

    if isinstance(tier, str) and tier in _TIERS:
        made["service_tier"] = _TIERS[tier]

    native = {name: request[name] for name in _NATIVE if request.get(name) is not None}
    made[ANTHROPIC] = {**native, "betas": [*betas]} if betas else native
    return made, tuple(lost)


def _add_tools(request: JsonObject, made: JsonObject) -> list[str]:
    """Translate tools and the choice between them; return the names of what is lost."""
    tools = request.get("tools")
    lost: dict[str, None] = {}

    if not isinstance(tools, list) or not tools:
        if tools not in (None, []):
            raise invalid("tools", "must be a list")

        return []

    made["tools"] = [_tool(tool, lost) for tool in tools]
    choice = object_of(request.get("tool_choice"), "tool_choice")
    kind = choice.get("type")

    if kind == "tool":
        made["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif isinstance(kind, str) and kind in _CHOICES:
        made["tool_choice"] = _CHOICES[kind]
    elif choice:
        raise invalid("tool_choice", "must be of type auto, any, tool or none")

    if choice.get("disable_parallel_tool_use") is True:
        made["parallel_tool_calls"] = False

    return [*lost]


def _tool(tool: Json, lost: dict[str, None]) -> JsonObject:
    if not isinstance(tool, dict):
        raise invalid("tools", "must be a list of objects")

    if tool.get("type") not in (None, "custom"):
        raise _server_side("tools")

    function: JsonObject = {"name": tool.get("name"), "parameters": tool.get("input_schema")}

    for name in ("description", "strict"):
        if tool.get(name) is not None:
            function[name] = tool[name]

    for name in tool:
        if name not in _TOOL:
            lost[f"tools.{name}"] = None

    made: JsonObject = {"type": "function", "function": function}
    mark = tool.get("cache_control")
    return made if mark is None else {**made, "cache_control": mark}


def _add_thoughts(request: JsonObject, made: JsonObject) -> None:
    """Translate how much is to be thought, and the form of the answer."""
    output = object_of(request.get("output_config"), "output_config")
    thinking = object_of(request.get("thinking"), "thinking")
    wanted, effort = output.get("format"), output.get("effort")

    match thinking.get("type"):
        case "disabled":
            effort = "none"
        case "enabled" if effort is None:
            effort = _effort(thinking.get("budget_tokens"))
        case _:
            pass

    if effort is not None:
        made["reasoning_effort"] = effort

    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        schema: JsonObject = {"name": "answer", "strict": True, "schema": wanted.get("schema")}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}


def _effort(budget: Json) -> str:
    """Return the effort that comes nearest to a number of tokens."""
    if not isinstance(budget, int):
        raise invalid("thinking.budget_tokens", "must be a whole number")

    if budget <= _LOW:
        return "low"

    return "medium" if budget <= _MEDIUM else "high"


def _server_side(name: str) -> Unsupported:
    return Unsupported(
        f"{name}: what Anthropic's own servers carry out is not to be had from this model.",
        code="llm.parameter.unsupported",
        param=name,
    )
