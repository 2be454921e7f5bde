"""What is sent: chats of a size, in a dialect, and tool calls of two protocol versions."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.dialects import MODEL
from benchmarks.load import Request

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}
_WORDS = "Tell me of the loom. "
_LARGE = 100_000
"""Bytes of a large body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a subject calls what is asked for, and the headers it wants."""

    model: str | None = MODEL
    """None for a subject that is not asked for chats."""
    translated: str | None = None
    """A model whose upstream speaks Anthropic's dialect; None where nothing is translated."""
    tool: str | None = None
    """None for a subject that is not asked for tools."""
    speaks_mcp: bool = False
    """It answers by itself, and keeps sessions; what passes bytes on has none."""
    headers: Mapping[str, str]
    translated_headers: Mapping[str, str] | None = None
    """Headers of a translated chat, where they differ."""


def chat(
    model: str, *, stream: bool, token: str = "", large: bool = False, most: int | None = None
) -> Request:
    """A chat request of 1 KB, or of 100; of a stream, `most` is how many chunks it has."""
    return _chat(model, _headers(token), stream=stream, large=large, most=most)


def request_of(row: str, names: Names, url: str) -> Request | None:
    """Return what a row sends to a subject; None when it has no such thing."""
    if row.startswith("tools/"):
        return _of_tools(row, names, url)

    if names.model is None:
        return None

    headers = {"content-type": "application/json", **names.headers}

    if "translated" in row:
        if names.translated is None:
            return _message(headers)

        return _chat(names.translated, {**headers, **(names.translated_headers or {})}, stream=True)

    return _chat(names.model, headers, stream="stream" in row, large="100 KB" in row)


def _of_tools(row: str, names: Names, url: str) -> Request | None:
    if names.tool is None:
        return None

    if row.startswith("tools/list"):
        return _modern("tools/list", {}, names.headers)

    if row.endswith("legacy") and names.speaks_mcp:
        return call_legacy(url, names.tool, names.headers)

    called = {"name": names.tool, "arguments": {"text": "hello"}}
    return _modern("tools/call", called, {"mcp-name": names.tool, **names.headers})


def short_stream(names: Names) -> Request | None:
    """A stream that the upstream sends at once; None for who is not asked for chats."""
    if names.model is None:
        return None

    headers = {"content-type": "application/json", **names.headers}
    return _chat(names.model, headers, stream=True, most=3)


def call_modern(tool: str, headers: Mapping[str, str]) -> Request:
    """A tools/call of protocol 2026-07-28."""
    params = {"name": tool, "arguments": {"text": "hello"}}
    return _modern("tools/call", params, {"mcp-name": tool, **headers})


def _modern(method: str, params: Mapping[str, object], headers: Mapping[str, str]) -> Request:
    """A request of protocol 2026-07-28."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": _META}}
    said = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MODERN,
        "mcp-method": method,
        **headers,
    }
    return Request("/mcp", json.dumps(body), said)


def call_legacy(url: str, tool: str, headers: Mapping[str, str]) -> Request:
    """A tools/call inside a session of protocol 2025-11-25, which is opened here."""
    said = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        **headers,
    }
    opening = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"},
        },
    }
    session = _post(url, opening, said)
    said |= {"mcp-session-id": session, "mcp-protocol-version": LEGACY}
    _post(url, {"jsonrpc": "2.0", "method": "notifications/initialized"}, said)
    body = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": tool, "arguments": {"text": "hello"}},
    }
    return Request("/mcp", json.dumps(body), said)


def _chat(
    model: str,
    headers: Mapping[str, str],
    *,
    stream: bool,
    large: bool = False,
    most: int | None = None,
) -> Request:
    words = _WORDS * (_LARGE // len(_WORDS) if large else 35)
    body: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are brief. " * 10},
            {"role": "user", "content": words},
        ],
        "temperature": 0.5,
    }

    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}

    if most is not None:
        body["max_tokens"] = most

    return Request("/v1/chat/completions", json.dumps(body), dict(headers))


def _message(headers: Mapping[str, str]) -> Request:
    """The same chat in Anthropic's dialect, for those who translate nothing."""
    body = {
        "model": MODEL,
        "system": "You are brief. " * 10,
        "messages": [{"role": "user", "content": _WORDS * 35}],
        "max_tokens": 4096,
        "stream": True,
    }
    return Request("/v1/messages", json.dumps(body), dict(headers))


def _post(url: str, message: Mapping[str, object], headers: dict[str, str]) -> str:
    request = urllib.request.Request(
        f"{url}/mcp", data=json.dumps(message).encode(), headers=headers, method="POST"
    )

    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()
        return str(answer.headers.get("mcp-session-id", ""))


def _headers(token: str) -> dict[str, str]:
    headers = {"content-type": "application/json"}

    if token:
        headers["authorization"] = f"Bearer {token}"

    return headers
