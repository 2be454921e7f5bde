"""The built-in `demo` gateway: four small tools and a little to read, without any network."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.demo_content import LISTS, METHODS
from spindle_mcp.upstream.connections.base import Request, Upstream
from spindle_mcp.upstream.faults import too_slow
from spindle_spi.errors import InvalidArgument
from spindle_spi.invocation import Progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_spi.types import Json, JsonObject

MAX_STEPS: Final = 1000
MAX_DELAY: Final = 60.0


class DemoUpstream(Upstream):
    """Behaves like any upstream, without a wire."""

    era = "builtin"

    def __init__(self) -> None:
        self.capabilities = {"tools": {}, "resources": {}, "prompts": {}, "completions": {}}

    async def list_all(self, method: str, key: str) -> list[JsonObject]:
        """See `Upstream`."""
        del method
        return [dict(item) for item in (_TOOLS if key == "tools" else LISTS.get(key, ()))]

    async def request(self, request: Request) -> JsonObject:
        """See `Upstream`."""
        content = METHODS.get(request.method)

        if content is not None:
            return content(request.params)

        tool = _FUNCTIONS.get(request.name or "") if request.method == "tools/call" else None

        if tool is None:
            raise InvalidArgument(f"The demo gateway has no tool {request.name!r}.")

        if request.deadline is None:
            return await tool(request)

        with anyio.move_on_after(request.deadline - time.monotonic()):
            return await tool(request)

        raise too_slow("demo")


async def _echo(request: Request) -> JsonObject:
    text = _arguments(request).get("text")
    return _answer(str(text), {"text": str(text)})


async def _add(request: Request) -> JsonObject:
    total = _number(request, "a") + _number(request, "b")

    if not math.isfinite(total):
        text: JsonObject = {"type": "text", "text": "The sum is too large for a number."}
        return {"content": [text], "isError": True}

    return _answer(str(total), {"sum": total})


async def _time(request: Request) -> JsonObject:
    del request
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return _answer(now, {"utc": now})


async def _slow(request: Request) -> JsonObject:
    steps = int(_number(request, "steps", 3))
    delay = float(_number(request, "delay", 0.1))

    for step in range(1, steps + 1):
        await anyio.sleep(delay)

        if request.peer is not None and request.wants_progress:
            await request.peer.progress(
                Progress(progress=float(step), total=float(steps), message=f"step {step}")
            )

    return _answer(f"{steps} steps done", {"steps": steps})


def _arguments(request: Request) -> JsonObject:
    arguments = request.params.get("arguments")
    return arguments if isinstance(arguments, dict) else {}


def _number(request: Request, name: str, default: float | None = None) -> int | float:
    value = _arguments(request).get(name, default)

    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgument(f"{name} must be a number.", param=name)

    return value


def _answer(text: str, structured: JsonObject) -> JsonObject:
    return {"content": [{"type": "text", "text": text}], "structuredContent": structured}


def _schema(properties: JsonObject, required: list[Json]) -> JsonObject:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _tool(name: str, description: str, takes: JsonObject, gives: JsonObject) -> JsonObject:
    return {
        "name": name,
        "description": description,
        "inputSchema": takes,
        "outputSchema": gives,
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    }


_NUMBER: JsonObject = {"type": "number"}
_TEXT: JsonObject = {"type": "string"}
_TOOLS: tuple[JsonObject, ...] = (
    _tool(
        "echo",
        "Return the text it is given.",
        _schema({"text": _TEXT}, ["text"]),
        _schema({"text": _TEXT}, ["text"]),
    ),
    _tool(
        "add",
        "Add two numbers.",
        _schema({"a": _NUMBER, "b": _NUMBER}, ["a", "b"]),
        _schema({"sum": _NUMBER}, ["sum"]),
    ),
    _tool("time", "Tell the time, in UTC.", _schema({}, []), _schema({"utc": _TEXT}, ["utc"])),
    _tool(
        "slow",
        "Take some steps, with a pause before each, and report progress.",
        _schema(
            {
                "steps": {"type": "integer", "minimum": 1, "maximum": MAX_STEPS, "default": 3},
                "delay": {"type": "number", "minimum": 0, "maximum": MAX_DELAY, "default": 0.1},
            },
            [],
        ),
        _schema({"steps": {"type": "integer"}}, ["steps"]),
    ),
)
_FUNCTIONS: dict[str, Callable[[Request], Awaitable[JsonObject]]] = {
    "echo": _echo,
    "add": _add,
    "time": _time,
    "slow": _slow,
}
