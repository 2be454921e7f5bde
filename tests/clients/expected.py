"""The checks of each client, by name: one that does not run is a failure, as is one more.

A name is that of a way the client connects, and that of what it does there.
"""

from __future__ import annotations

FEATURES: dict[str, tuple[str, ...]] = {
    "Tools": (
        "connect",
        "list",
        "call.text",
        "call.structured",
        "call.tool_error",
        "call.refused",
        "call.unknown",
        "token.wrong",
        "server.part",
    ),
    "Progress": ("call.progress",),
    "Cancellation": ("call.left",),
    "Resources, templates": (
        "resources.list",
        "resources.templates",
        "resources.read",
        "resources.unknown",
    ),
    "Prompts": ("prompts.list", "prompts.get"),
    "Completion": ("complete",),
    "Following a resource": ("news.updated",),
    "Changed lists": ("news.lists",),
    "Elicitation": ("asked.form",),
    "Sampling": ("asked.sample",),
    "Roots": ("asked.roots",),
}
"""What every client does that can, by what people call it."""

TITLES = {
    "python_sdk": "Python SDK 2",
    "python_sdk_v1": "Python SDK 1",
    "fastmcp": "FastMCP",
    "typescript_sdk": "TypeScript SDK 2",
    "typescript_sdk_v1": "TypeScript SDK 1",
    "inspector": "Inspector",
    "mcp_remote": "mcp-remote",
}

_GONE = "is gone when it has printed its one answer"
CANNOT: dict[str, dict[str, str]] = {
    "python_sdk_v1": {"call.left": "has no way to cancel a call"},
    "inspector": {
        **dict.fromkeys(("connect", "call.progress"), "prints results alone"),
        "complete": "has no method for completion",
        **dict.fromkeys(("call.left", "news.updated", "news.lists"), _GONE),
        **dict.fromkeys(("asked.form", "asked.sample", "asked.roots"), "can be asked nothing"),
    },
    "mcp_remote": {
        "auto.call.left": "with `--protocol auto` hands a cancellation on as a message, which the "
        "protocol of 2026-07-28 does not have over HTTP"
    },
}
"""What a client cannot do in any of its ways, or in the one that is named, and why."""


def _all(client: str, *ways: str) -> tuple[str, ...]:
    checks = [name for names in FEATURES.values() for name in names]
    cannot = CANNOT.get(client, {})
    return tuple(
        f"{way}.{name}"
        for way in ways
        for name in checks
        if name not in cannot and f"{way}.{name}" not in cannot
    )


CHECKS: dict[str, tuple[str, ...]] = {
    "python_sdk": (
        *_all("python_sdk", "auto", "modern", "legacy", "bridge", "bridge_legacy"),
        "documented.claude-code.file",
        "documented.vscode.file",
        "documented.cursor.file",
        "documented.chatgpt.ui",
        "documented.claude-desktop.bridge",
        "documented.python-sdk.v2",
    ),
    "python_sdk_v1": (*_all("python_sdk_v1", "http"), "documented.python-sdk.v1"),
    "fastmcp": (*_all("fastmcp", "auto", "legacy"), "documented.fastmcp.client"),
    "typescript_sdk": (
        *_all("typescript_sdk", "auto", "modern", "legacy", "bridge"),
        "documented.typescript-sdk.v2",
    ),
    "typescript_sdk_v1": (
        *_all("typescript_sdk_v1", "http", "bridge"),
        "documented.typescript-sdk.v1",
    ),
    "inspector": (
        *_all("inspector", "legacy", "modern"),
        "cannot.completion/complete",
        "cannot.resources/subscribe",
        "documented.inspector.command",
    ),
    "mcp_remote": (
        *_all("mcp_remote", "legacy", "auto"),
        "documented.mcp-remote.file",
        "documented.mcp-remote.command",
        "documented.claude-desktop.mcp-remote",
    ),
}


def table() -> list[str]:
    """Return the rows of the page that says which client was seen to do what."""
    rows = [" | ".join(("", "", *TITLES.values(), "")).strip(), f"|---{'|---' * len(TITLES)}|"]
    return rows + [
        "| " + " | ".join((feature, *(_word(client, names) for client in TITLES))) + " |"
        for feature, names in FEATURES.items()
    ]


def _word(client: str, names: tuple[str, ...]) -> str:
    cannot = CANNOT.get(client, {})

    if all(name in cannot for name in names):
        return "no"

    parts = {way.removesuffix(f".{name}") for name in names for way in cannot} - set(cannot)
    return f"yes, but not `{'`, `'.join(sorted(parts))}`" if parts else "yes"


def reasons() -> list[str]:
    """Return a line of the page for each client that cannot do something."""
    return [
        f"- {TITLES[client]} {'; '.join(dict.fromkeys(found.values()))}."
        for client, found in CANNOT.items()
    ]
