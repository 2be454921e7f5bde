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
    "python_sdk": (
        *_all("auto", "modern", "legacy", "bridge", "bridge_legacy"),
        "documented.claude-code.file",
        "documented.vscode.file",
        "documented.cursor.file",
        "documented.chatgpt.ui",
        "documented.claude-desktop.bridge",
        "documented.python-sdk.v2",
    ),
    "python_sdk_v1": (*_all("http"), "documented.python-sdk.v1"),
    "fastmcp": (*_all("auto", "legacy"), "documented.fastmcp.client"),
    "typescript_sdk": (
        *_all("auto", "modern", "legacy", "bridge"),
        "documented.typescript-sdk.v2",
    ),
    "typescript_sdk_v1": (*_all("http", "bridge"), "documented.typescript-sdk.v1"),
    "inspector": (
        *_all("legacy", "modern", without=("connect", "call.progress")),
        "documented.inspector.command",
    ),
    "mcp_remote": (
        *_all("legacy", "auto"),
        "documented.mcp-remote.file",
        "documented.mcp-remote.command",
        "documented.claude-desktop.mcp-remote",
    ),
}
