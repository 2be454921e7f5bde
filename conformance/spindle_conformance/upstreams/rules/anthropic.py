"""What Anthropic refuses in a request for a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_conformance.upstreams.requests import objects, string

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_spi.types import Json, JsonObject

_KNOWN = frozenset(
    {
        *("model", "max_tokens", "messages", "system", "temperature", "top_p", "top_k"),
        *("stop_sequences", "stream", "tools", "tool_choice", "thinking", "output_config"),
        *("metadata", "service_tier", "speed", "cache_control", "container", "inference_geo"),
        *("context_management", "mcp_servers"),
    }
)
_BLOCKS = {
    "user": frozenset(
        {"text", "image", "document", "search_result", "tool_result", "container_upload"}
    ),
    "assistant": frozenset(
        {"text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "document"}
    ),
}
_NEEDED = {
    "text": ("text",),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
    "tool_use": ("id", "name", "input"),
    "tool_result": ("tool_use_id",),
    "image": ("source",),
    "document": ("source",),
}
_NO_TAG = "Input tag found using 'type' does not match any of the expected tags"
_LEAST_BUDGET = 1024
_TOOL_CHOICES = frozenset({"auto", "any", "tool", "none"})


def fault_in(body: JsonObject, *, counting: bool = False) -> str | None:
    """Return what is wrong with a request, in the vendor's words; None if nothing is."""
    return next(faults(body, counting=counting), None)


def faults(body: JsonObject, *, counting: bool = False) -> Iterator[str]:
    """Return everything that is wrong, the first of which the vendor tells."""
    known = _KNOWN - {"max_tokens", "stream"} if counting else _KNOWN

    for name in body:
        if name not in known:
            yield f"{name}: Extra inputs are not permitted"

    for name in ("model", "messages") if counting else ("model", "max_tokens", "messages"):
        if name not in body:
            yield f"{name}: Field required"

    most = body.get("max_tokens")

    if not counting and (not isinstance(most, int) or most < 1):
        yield "max_tokens: Input should be greater than or equal to 1"

    yield from _in_numbers(body)
    yield from _in_thinking(body)
    yield from _in_system(body.get("system"))
    yield from _in_tools(body)
    yield from _in_messages(body.get("messages"))


def _in_numbers(body: JsonObject) -> Iterator[str]:
    for name in ("temperature", "top_p"):
        value = body.get(name, 0.5)

        if not isinstance(value, int | float) or not 0 <= value <= 1:
            yield f"{name}: range: 0..1"

    stops = body.get("stop_sequences", [])

    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        yield "stop_sequences: Input should be a valid list"


def _in_thinking(body: JsonObject) -> Iterator[str]:
    thinking, most = body.get("thinking"), body.get("max_tokens")
    choice = body.get("tool_choice")

    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return

    budget = thinking.get("budget_tokens")

    if not isinstance(budget, int) or budget < _LEAST_BUDGET:
        yield f"thinking.enabled.budget_tokens: Input should be at least {_LEAST_BUDGET}"
    elif isinstance(most, int) and most <= budget:
        yield "`max_tokens` must be greater than `thinking.budget_tokens`."

    if body.get("temperature", 1) != 1:
        yield "`temperature` may only be set to 1 when thinking is enabled."

    if isinstance(choice, dict) and choice.get("type") in ("any", "tool"):
        yield "Thinking may not be enabled when tool_choice forces tool use."


def _in_system(system: Json) -> Iterator[str]:
    blocks = objects(system)

    if isinstance(system, list) and any(block.get("type") != "text" for block in blocks):
        yield "system: Input should be text blocks"
    elif system is not None and not isinstance(system, str | list):
        yield "system: Input should be a valid string"


def _in_tools(body: JsonObject) -> Iterator[str]:
    for index, tool in enumerate(objects(body.get("tools"))):
        is_own = tool.get("type", "custom") == "custom"

        if not string(tool.get("name")):
            yield f"tools.{index}.name: Field required"

        if is_own and not isinstance(tool.get("input_schema"), dict):
            yield f"tools.{index}.custom.input_schema: Field required"

    choice = body.get("tool_choice")

    if choice is not None:
        kind = choice.get("type") if isinstance(choice, dict) else None

        if kind not in _TOOL_CHOICES:
            yield f"tool_choice: {_NO_TAG}"


def _in_messages(value: Json) -> Iterator[str]:
    messages = objects(value)

    if not messages:
        yield "messages: at least one message is required"

    called: set[str] = set()

    for index, message in enumerate(messages):
        where = f"messages.{index}"
        role = string(message.get("role"))

        if role not in _BLOCKS:
            yield (
                f'messages: Unexpected role "{role}". The Messages API accepts a top-level '
                '`system` parameter, not "system" as an input message role.'
            )
            return

        content = message.get("content")
        blocks = objects(content)

        if not isinstance(content, str | list) or content == "":
            yield f"{where}.content: Input should be a valid list"

        for number, block in enumerate(blocks):
            yield from _in_block(f"{where}.content.{number}", block, role)

        yield from _in_results(where, blocks, called)
        uses = [block for block in blocks if block.get("type") == "tool_use"]
        called = {string(block.get("id")) for block in uses}


def _in_block(where: str, block: JsonObject, role: str) -> Iterator[str]:
    kind = string(block.get("type"))

    if kind not in _BLOCKS[role]:
        yield f"{where}: {kind}: {_NO_TAG}"
        return

    for name in _NEEDED.get(kind, ()):
        if name not in block:
            yield f"{where}.{kind}.{name}: Field required"

    if kind == "text" and not block.get("text"):
        yield "messages: text content blocks must be non-empty"

    if kind == "tool_use" and not isinstance(block.get("input"), dict):
        yield f"{where}.tool_use.input: Input should be a valid dictionary"


def _in_results(where: str, blocks: list[JsonObject], called: set[str]) -> Iterator[str]:
    """Check that the tools called in the turn before, and no others, are answered first of all."""
    kinds = [block.get("type") == "tool_result" for block in blocks]
    answered = [string(block.get("tool_use_id")) for block in blocks if "tool_use_id" in block]

    for id_ in answered:
        if id_ not in called:
            yield f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {id_}."

    if missing := called - set(answered):
        yield (
            f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(sorted(missing))}."
        )

    if kinds != sorted(kinds, reverse=True):
        yield f"{where}: `tool_result` blocks must come first in the content."
