"""What the conformance suite runs as its client: the SDK's own, through a gateway.

The suite's server becomes an upstream of the gateway that runs, shown alone and without prefixes;
the SDK's client is then sent there. `mcp_client_driver.py URL`, with CONFORMANCE_GATEWAY,
CONFORMANCE_TOKEN, CONFORMANCE_CLIENT (the client's file) and CONFORMANCE_LEFT_OUT (how the names of
scenarios begin that nothing drives) in the environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `scripts`

from scripts.mcp_between import between
from scripts.mcp_programs import wait_for_tools

if TYPE_CHECKING:
    from collections.abc import Generator

ANONYMOUS = ["tools.read", "tools.execute", "resources.read", "prompts.read", "servers.read"]
CONNECT_SECONDS = 15.0
UNLISTED = {"request-metadata": "add_numbers"}
"""Scenarios whose server answers calls of a tool that it does not list, and the tool's name."""


@contextlib.contextmanager
def made(kind: str, body: dict[str, object]) -> Generator[None]:
    """Make a record over the gateway's control plane, for as long as the block runs.

    The suite's server does not end before whoever is connected to it has left.
    """
    place = ask("POST", f"/admin/api/v1/{kind}", body)

    try:
        yield
    finally:
        ask("DELETE", place)


def ask(method: str, path: str, body: dict[str, object] | None = None) -> str:
    """Ask the control plane; return where the record is that was made."""
    request = urllib.request.Request(
        os.environ["CONFORMANCE_GATEWAY"] + path,
        None if body is None else json.dumps(body).encode(),
        {
            "authorization": f"Bearer {os.environ['CONFORMANCE_TOKEN']}",
            "content-type": "application/json",
        },
        method=method,
    )

    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()
        return str(answer.headers["location"])


@contextlib.contextmanager
def listing(url: str, tool: str | None) -> Generator[str]:
    """Give the address at which a server lists the tool; a gateway offers what is listed."""
    if tool is None:
        yield url
        return

    def change(request: bytes, answer: bytes) -> bytes:
        method, message = json.loads(request).get("method"), json.loads(answer)
        result = message.get("result", {})

        if method == "server/discover" and "capabilities" in result:
            result["capabilities"]["tools"] = {}
        elif method == "tools/list" and "tools" in result:
            result["tools"].append({"name": tool, "inputSchema": {"type": "object"}})

        return json.dumps(message).encode()

    with between(url, change=change) as address:
        yield address


def main() -> int:
    """Return the client's exit code."""
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]

    if scenario.startswith(os.environ["CONFORMANCE_LEFT_OUT"]):
        return 1

    with listing(sys.argv[1], UNLISTED.get(scenario)) as url:
        return run_client(url)


def run_client(url: str) -> int:
    """Run the client against a gateway before this server; return its exit code."""
    name = f"c{secrets.token_hex(4)}"
    gateway: dict[str, object] = {"name": name, "url": url, "visibility": "public"}
    server: dict[str, object] = {
        "name": name,
        "gateways": [name],
        "prefix_free": True,
        "anonymous": True,
        "anonymous_permissions": ANONYMOUS,
        "visibility": "public",
    }

    with made("gateways", gateway), made("servers", server):
        endpoint = f"{os.environ['CONFORMANCE_GATEWAY']}/servers/{name}/mcp"

        with contextlib.suppress(SystemExit):
            # There are scenarios whose tools are kept out; their client runs all the same.
            wait_for_tools(endpoint, CONNECT_SECONDS)

        client = [sys.executable, os.environ["CONFORMANCE_CLIENT"], endpoint]
        return subprocess.run(client, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
