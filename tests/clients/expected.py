"""The checks of each client, by name: one that does not run is a failure, as is one more.

A name is that of a way the client connects, and that of what it does there.
"""

from __future__ import annotations

_TOOLS = (
    "connect",
    "list",
    "call.text",
    "call.structured",
    "call.tool_error",
    "call.refused",
    "call.progress",
    "call.unknown",
    "token.wrong",
    "server.part",
)
"""What every client does."""


def _all(*ways: str, without: tuple[str, ...] = ()) -> tuple[str, ...]:
    return tuple(f"{way}.{name}" for way in ways for name in _TOOLS if name not in without)


CHECKS: dict[str, tuple[str, ...]] = {
    "python_sdk": _all("auto", "modern", "legacy", "bridge", "bridge_legacy"),
    "python_sdk_v1": _all("http"),
    "fastmcp": _all("auto", "legacy"),
    "typescript_sdk": _all("auto", "modern", "legacy", "bridge"),
    "typescript_sdk_v1": _all("http", "bridge"),
    "inspector": _all("legacy", "modern", without=("connect", "call.progress")),
    "mcp_remote": _all("legacy", "auto"),
}
