"""What the conformance suite runs as its client: the SDK's own, through a gateway.

The suite's server becomes an upstream of the gateway that runs, shown alone and without prefixes;
the SDK's client is then sent there. `mcp_client_driver.py URL`, with CONFORMANCE_GATEWAY,
CONFORMANCE_TOKEN and CONFORMANCE_CLIENT (the client's file) in the environment.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `scripts`

from scripts.mcp_programs import wait_for_tools

ANONYMOUS = ["tools.read", "tools.execute", "resources.read", "prompts.read", "servers.read"]
CONNECT_SECONDS = 30.0


def make(path: str, body: dict[str, object]) -> None:
    """Make a record over the gateway's control plane."""
    request = urllib.request.Request(
        os.environ["CONFORMANCE_GATEWAY"] + path,
        json.dumps(body).encode(),
        {
            "authorization": f"Bearer {os.environ['CONFORMANCE_TOKEN']}",
            "content-type": "application/json",
        },
        method="POST",
    )

    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def main() -> int:
    """Return the client's exit code."""
    name = f"c{secrets.token_hex(4)}"
    make("/admin/api/v1/gateways", {"name": name, "url": sys.argv[1], "visibility": "public"})
    make(
        "/admin/api/v1/servers",
        {
            "name": name,
            "gateways": [name],
            "prefix_free": True,
            "anonymous": True,
            "anonymous_permissions": ANONYMOUS,
            "visibility": "public",
        },
    )
    endpoint = f"{os.environ['CONFORMANCE_GATEWAY']}/servers/{name}/mcp"
    wait_for_tools(endpoint, CONNECT_SECONDS)
    client = [sys.executable, os.environ["CONFORMANCE_CLIENT"], endpoint]
    return subprocess.run(client, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
