"""Two commands to paste after a first start: a chat and a tool call, for what is there."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from spindle_spi.context import AuthenticatedContext, Subject, TraceContext, VisibilityScope
from spindle_spi.records import Kind, ModelSpec, ToolSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spindle.gateway import Running
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import Json, JsonObject

_MCP_VERSION = "2026-07-28"
_ADMINISTRATOR = AuthenticatedContext(
    subject=Subject(is_admin=True, token_teams=None),
    visibility_scope=VisibilityScope(permissions=("*",)),
    trace=TraceContext(request_id="examples"),
)


def example_commands(running: Running, *, shows_token: bool) -> list[tuple[str, str]]:
    """Return title and command of each; without `shows_token` they read it from its file."""
    token = (
        running.administrator.token.reveal()
        if shows_token
        else f"$(cat {shlex.quote(str(running.administrator.path))})"
    )
    view = running.snapshot.view(_ADMINISTRATOR)
    base = _reachable(running.url)
    commands: list[tuple[str, str]] = []
    model = _pick(view.records[Kind.MODEL], "mock", "echo")
    tool = _pick(view.records[Kind.TOOL], "demo", "echo")

    if model is not None:
        commands.append(("Chat with a model:", _chat(base, token, model)))

    if tool is not None:
        commands.append(("Call a tool over MCP:", _tool_call(base, token, tool)))

    return commands


def _pick(records: tuple[CatalogRecord, ...], source: str, name: str) -> CatalogRecord | None:
    """Return the record that fits best: of this source and name, of this source, any."""

    def misfit(record: CatalogRecord) -> tuple[bool, bool]:
        spec = record.spec

        if isinstance(spec, ModelSpec):
            return spec.provider != source, spec.upstream_name != name

        if isinstance(spec, ToolSpec):
            return spec.gateway != source, spec.upstream_name != name

        return True, True

    return min(records, key=misfit, default=None)


def _chat(base: str, token: str, model: CatalogRecord) -> str:
    body: JsonObject = {
        "model": model.name,
        "messages": [{"role": "user", "content": "Hello!"}],
    }
    return _curl(f"{base}/v1/chat/completions", token, {}, body)


def _tool_call(base: str, token: str, tool: CatalogRecord) -> str:
    spec = tool.spec
    schema = spec.input_schema if isinstance(spec, ToolSpec) else {}
    body: JsonObject = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": tool.name,
            "arguments": dict(_arguments(schema)),
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": _MCP_VERSION,
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": _MCP_VERSION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool.name,
    }
    return _curl(f"{base}/mcp", token, headers, body)


_SAMPLES: dict[Json, Json] = {"string": "Hello!", "number": 2, "integer": 2, "boolean": True}


def _arguments(schema: JsonObject) -> Iterator[tuple[str, Json]]:
    required, properties = schema.get("required"), schema.get("properties")

    if isinstance(required, list) and isinstance(properties, dict):
        for name in required:
            described = properties.get(name) if isinstance(name, str) else None

            if isinstance(name, str) and isinstance(described, dict):
                kind = described.get("type")
                yield name, _SAMPLES.get(kind if isinstance(kind, str) else None)


def _curl(url: str, token: str, headers: Mapping[str, str], body: JsonObject) -> str:
    lines = {"Content-Type": "application/json", **headers}
    parts = [
        f"curl -sS {shlex.quote(url)}",
        # Double quotes, so that the shell reads the token's file.
        f'-H "Authorization: Bearer {token}"',
        *(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in lines.items()),
        f"-d {shlex.quote(json.dumps(body))}",
    ]
    return " ".join(parts)


def _reachable(url: str) -> str:
    """Return the URL for a client on this machine: one cannot connect to a wildcard."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
