"""A gateway's program for tests: MCP over standard input and output, on the standard library alone.

`python program.py ERA`: `modern`, `legacy`, `abrupt` (legacy, and ends at what it does not know) or
`silent`. What `tools/call` does is decided by the tool's name.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from typing import Any

TOOLS = (
    "echo", "env", "limits", "where", "die", "crash", "hang", "flood", "garbage", "steps", "ask",
)  # fmt: skip
ASKING: dict[str, dict[str, Any]] = {}
"""Calls that wait for what their client answers."""


def main(era: str) -> None:
    sys.stderr.write("ready\n")
    sys.stderr.flush()

    for line in sys.stdin:
        message = json.loads(line)

        if era == "silent":
            continue

        if "method" not in message:
            said = json.dumps(message.get("result"))
            result(ASKING.pop(message["id"]), content=[{"type": "text", "text": said}])
        elif "id" in message:
            answer(era, message)
        elif message.get("method") == "notifications/cancelled":
            sys.stderr.write(f"cancelled {message['params']['requestId']}\n")
            sys.stderr.flush()


def answer(era: str, message: dict[str, Any]) -> None:
    method: str = message["method"]
    params: dict[str, Any] = message.get("params") or {}
    meta: dict[str, Any] = params.get("_meta") or {}
    is_modern = "io.modelcontextprotocol/protocolVersion" in meta

    if method == "server/discover" and era == "modern":
        capabilities = {"tools": {"listChanged": True}}
        result(message, supportedVersions=["2026-07-28"], capabilities=capabilities)
    elif method == "initialize" and era in ("legacy", "abrupt"):
        result(
            message,
            protocolVersion="2025-11-25",
            capabilities={"tools": {}},
            serverInfo={"name": "program", "version": "1"},
        )
    elif is_modern and era == "abrupt":
        sys.exit(1)
    elif method == "tools/list" and is_modern == (era == "modern"):
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
        result(message, tools=tools, ttlMs=0, cacheScope="private")
    elif method == "tools/call":
        call(message, params["name"], params.get("arguments") or {})
    elif method == "subscriptions/listen":
        pass
    else:
        error = {"code": -32601, "message": "secret-of-the-program"}
        say({"jsonrpc": "2.0", "id": message["id"], "error": error})


def call(message: dict[str, Any], name: str, arguments: dict[str, Any]) -> None:
    if name == "die":
        os._exit(3)

    if name == "crash":
        os.kill(os.getpid(), signal.SIGKILL)

    if name == "hang":
        sys.stderr.write("hanging\n")
        sys.stderr.flush()
        return

    if name == "ask":
        ASKING["q1"] = message
        say({"jsonrpc": "2.0", "id": "q1", "method": "roots/list"})
        return

    if name == "flood":
        sys.stdout.write("x" * int(arguments["size"]))
        sys.stdout.flush()
        return

    if name == "garbage":
        sys.stdout.write("this is no message\n" * int(arguments["lines"]))

    if name == "steps":
        meta: dict[str, Any] = message["params"].get("_meta") or {}
        token = meta.get("progressToken")

        for step in (1, 2):
            params = {"progressToken": token, "progress": step, "total": 2, "message": f"s{step}"}
            say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
            time.sleep(float(arguments.get("delay", 0)))

    result(message, content=[{"type": "text", "text": text_of(name, arguments)}], isError=False)


def text_of(name: str, arguments: dict[str, Any]) -> str:
    match name:
        case "env":
            return json.dumps(dict(os.environ))
        case "limits":
            kinds = ("RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_AS")
            return json.dumps([resource.getrlimit(getattr(resource, each))[0] for each in kinds])
        case "where":
            child = subprocess.Popen(["sleep", "1000"])
            return json.dumps([os.getcwd(), os.getpid(), child.pid])
        case _:
            return str(arguments.get("text", name))


def result(message: dict[str, Any], **fields: Any) -> None:
    body = {"resultType": "complete", **fields}
    say({"jsonrpc": "2.0", "id": message["id"], "result": body})


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
