"""What the conformance suite runs as its client: the SDK's own, through a gateway.

The suite's server becomes an upstream of the gateway that runs, shown alone and without prefixes;
the SDK's client is then sent there, for a person where a person has to agree to something.
`mcp_client_driver.py URL`, with CONFORMANCE_GATEWAY, CONFORMANCE_TOKEN and CONFORMANCE_CLIENT (the
client's file) in the environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `scripts`

from scripts.mcp_between import between
from scripts.mcp_programs import wait_for_tools
from scripts.mcp_suite import EXTENSIONS

if TYPE_CHECKING:
    from collections.abc import Generator

ANONYMOUS = ["tools.read", "tools.execute", "resources.read", "prompts.read", "servers.read"]
CONNECT_SECONDS = 15.0
AUTH = "auth/"
DOCUMENT = "https://conformance-test.local/client-metadata.json"
"""What the suite's authorization servers know as the document of a client."""
MACHINES = ("auth/client-credentials-",)
"""How scenarios begin in which the gateway signs in, and nobody else."""
UNLISTED = {"request-metadata": "add_numbers"}
"""Scenarios whose server answers calls of a tool that it does not list, and the tool's name."""


@dataclass(frozen=True, slots=True)
class Made:
    """What the control plane answered."""

    place: str
    body: dict[str, Any]


@contextlib.contextmanager
def made(kind: str, body: dict[str, object]) -> Generator[Made]:
    """Make a record over the gateway's control plane, for as long as the block runs.

    The suite's server does not end before whoever is connected to it has left.
    """
    record = ask("POST", f"/admin/api/v1/{kind}", body)

    try:
        yield record
    finally:
        ask("DELETE", record.place)


def ask(method: str, path: str, body: dict[str, object] | None = None) -> Made:
    """Ask the control plane."""
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
        text = answer.read()
        return Made(str(answer.headers["location"]), json.loads(text) if text else {})


def personal_auth(context: dict[str, str]) -> dict[str, object]:
    """Return what the record says of a gateway that acts for persons: known there, or not yet."""
    known: dict[str, object] = {"client_id": DOCUMENT, "dynamic_registration": True}

    if "client_id" in context:
        known = {name: context[name] for name in ("issuer", "client_id", "client_secret")}

    return {"type": "authorization_code", **known}


def issuer_of(url: str) -> str:
    """Return the authorization server of an upstream, as whoever makes its record looks it up."""
    place = url.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")

    with urllib.request.urlopen(place, timeout=60) as answer:
        return str(json.load(answer)["authorization_servers"][0])


def machine_auth(url: str, context: dict[str, str]) -> dict[str, object]:
    """Return what the record says of a gateway that signs in by itself."""
    auth: dict[str, object] = {
        "type": "client_credentials",
        "issuer": issuer_of(url),
        "client_id": context["client_id"],
    }

    if "private_key_pem" in context:
        algorithm = context["signing_algorithm"]
        return {**auth, "client_key": context["private_key_pem"], "key_algorithm": algorithm}

    return {**auth, "client_secret": context["client_secret"]}


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


def run_person(endpoint: str, gateway: str, scenario: str) -> int:
    """Let a person work; return 0 when it ended as the scenario has to end."""
    import anyio

    from scripts.mcp_person import REFUSED, Person, Refused

    base, expected = os.environ["CONFORMANCE_GATEWAY"], REFUSED.get(scenario)
    email = f"{gateway}@example.org"

    with (
        made("users", {"email": email, "role": "developer"}),
        made("tokens", {"user": email}) as token,
    ):
        try:
            anyio.run(Person(base, token.body["token"], gateway).work, endpoint)
            ended = None
        except Refused as exc:
            ended = str(exc)

    print(f"ended by {ended}, expected {expected}")
    return 0 if ended == expected else 1


def run_client(endpoint: str) -> int:
    """Run the SDK's client; return its exit code."""
    with contextlib.suppress(SystemExit):
        # There are scenarios whose tools are kept out; their client runs all the same.
        wait_for_tools(endpoint, CONNECT_SECONDS)

    client = [sys.executable, os.environ["CONFORMANCE_CLIENT"], endpoint]
    return subprocess.run(client, check=False).returncode


def main() -> int:
    """Return what the suite is told as the client's exit code."""
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]

    if scenario.startswith(EXTENSIONS):
        # The suite runs them all the same; nobody looks at what comes of it.
        return 1

    with listing(sys.argv[1], UNLISTED.get(scenario)) as url:
        return run(scenario, url)


def run(scenario: str, url: str) -> int:
    """Run a scenario through a gateway before its server; return how its client ended."""
    name = f"c{secrets.token_hex(4)}"
    context: dict[str, str] = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    gateway: dict[str, object] = {"name": name, "url": url, "visibility": "public"}
    server: dict[str, object] = {
        "name": name,
        "gateways": [name],
        "prefix_free": True,
        "anonymous": True,
        "anonymous_permissions": ANONYMOUS,
        "visibility": "public",
    }
    has_person = scenario.startswith(AUTH) and not scenario.startswith(MACHINES)

    if has_person:
        gateway["auth"] = personal_auth(context)
    elif scenario.startswith(AUTH):
        gateway["auth"] = machine_auth(url, context)

    with made("gateways", gateway), made("servers", server):
        endpoint = f"{os.environ['CONFORMANCE_GATEWAY']}/servers/{name}/mcp"
        return run_person(endpoint, name, scenario) if has_person else run_client(endpoint)


if __name__ == "__main__":
    code = main()
    print(f"exit {code}")  # read by `exit_code_in`
    sys.exit(code)
