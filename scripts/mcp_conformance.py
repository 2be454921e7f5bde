"""Run the official MCP conformance suite against a real gateway, both ways round.

Server leg: the SDK's own everything-server stands behind the gateway, shown by an anonymous virtual
server without prefixes; once with the accelerated path, once without, and once with sessions that
can be resumed. Client leg: the suite's servers stand behind the gateway, and the SDK's own client
before it. What fails must be on the baseline, and the other way round. Needs node (npx) and the
package registries.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `scripts`

from scripts.mcp_between import between
from scripts.mcp_programs import (
    EVERYTHING,
    ROOT,
    fetch_sdk,
    free_port,
    running,
    wait_for_port,
    wait_for_tools,
    wait_for_url,
)
from scripts.mcp_suite import CACHE, REVISIONS, Verdict, run_suite

if TYPE_CHECKING:
    from collections.abc import Generator

BASELINE = ROOT / "tests" / "mcp" / "conformance_baseline.yml"
DRIVER = ROOT / "scripts" / "mcp_client_driver.py"
CLIENT = Path(".github") / "actions" / "conformance" / "client.py"
RESUMED = "server-sse-polling"
"""The scenario that there is something to test in only where sessions are resumed."""
LEGS = ("accelerated", "plain", "resumable", "client")

CONFIG = """\
modules: {{enabled: [mcp]}}
mcp:
  accelerated: {accelerated}
  resumable: {resumable}
  gateways:
    everything: {{transport: streamable_http, url: "{upstream}"}}
servers:
  conformance:
    gateways: [everything]
    prefix_free: true
    anonymous: true
    visibility: public
    anonymous_permissions: [tools.read, tools.execute, resources.read, prompts.read, servers.read]
"""
CLIENT_CONFIG = """\
server: {{public_url: "http://localhost:{port}"}}
modules: {{enabled: [mcp]}}
egress: {{allowed_hosts: [localhost, "127.0.0.1"]}}
"""


@contextlib.contextmanager
def before_everything(folder: Path, leg: str) -> Generator[str]:
    """Run the everything-server and a gateway in front of it; give the endpoint's address."""
    server, port = fetch_sdk() / EVERYTHING, free_port()
    log = folder / "upstream.log"
    upstream = [sys.executable, "-m", "mcp_everything_server", "--port", str(port)]
    config = CONFIG.format(
        upstream=f"http://127.0.0.1:{port}/mcp",
        accelerated=str(leg == "accelerated").lower(),
        resumable=str(leg == "resumable").lower(),
    )

    with running([*upstream, "--log-level", "WARNING"], server, log) as process:
        wait_for_port(port, process, log)

        with gateway(folder, config) as base, contextlib.ExitStack() as stack:
            endpoint = f"{base}/servers/conformance/mcp"
            wait_for_tools(endpoint)

            if leg == "resumable":
                # The suite's client has no credential, and only named callers resume.
                token = (folder / "home" / "admin-token").read_text().strip()
                proof = {"authorization": f"Bearer {token}"}
                endpoint = stack.enter_context(between(endpoint, headers=proof))

            yield endpoint


@contextlib.contextmanager
def gateway(folder: Path, config: str, port: int = 0) -> Generator[str]:
    """Run a gateway with its home in a folder; give its address, by the name of this host."""
    file, log = folder / "spindle.yaml", folder / "gateway.log"
    file.write_text(config)
    serve = [sys.executable, "-m", "spindle", "serve", "--port", str(port)]
    serve += ["--home", str(folder / "home"), "--config", str(file)]

    with running(serve, ROOT, log) as process:
        yield wait_for_url(process, log).replace("127.0.0.1", "localhost")


def run_server_leg(folder: Path, url: str | None, leg: str) -> dict[str, Verdict]:
    """Run the server's scenarios of each revision against one gateway."""
    # Since 2026 there are no sessions.
    revisions = REVISIONS[:1] if leg == "resumable" else REVISIONS

    with contextlib.ExitStack() as stack:
        endpoint = url or stack.enter_context(before_everything(folder, leg))
        return {
            revision: run_suite(
                "server",
                ["--url", endpoint],
                revision,
                folder,
                left_out="\0" if leg == "resumable" else RESUMED,
            )
            for revision in revisions
        }


def run_client_leg(folder: Path) -> dict[str, Verdict]:
    """Run the client's scenarios of each revision through one gateway."""
    client, port = fetch_sdk() / CLIENT, free_port()

    with gateway(folder, CLIENT_CONFIG.format(port=port), port) as base:
        environment = {
            "CONFORMANCE_GATEWAY": base,
            "CONFORMANCE_TOKEN": (folder / "home" / "admin-token").read_text().strip(),
            "CONFORMANCE_CLIENT": str(client),
        }
        command = ["--command", f"{sys.executable} {DRIVER}", "--timeout", "90000"]
        return {
            revision: run_suite(
                "client",
                command,
                revision,
                folder,
                environment=environment,
            )
            for revision in REVISIONS
        }


def judge(verdict: Verdict, baseline: dict[str, str]) -> list[str]:
    """Return what keeps a revision from passing, in sentences."""
    failed = set(verdict.failures)
    faults = [
        f"{name} failed and is not on the baseline" for name in sorted(failed - set(baseline))
    ]
    faults += [f"{name} is on the baseline and passes" for name in sorted(set(baseline) - failed)]
    return faults


def report(leg: str, revision: str, verdict: Verdict, baseline: dict[str, str]) -> bool:
    """Print the line of a leg and a revision; tell whether it fails."""
    faults = judge(verdict, baseline)
    side = "client" if leg == "client" else f"server, {leg}"
    line = f"{side}, {revision}: required {verdict.required} passed {verdict.passed}"
    print(line + (f" not run {verdict.left_out}" if verdict.left_out else ""))

    if verdict.unscored:
        print(f"  unscored {verdict.unscored} passed {verdict.unscored_passed}")

    for told in (*verdict.notes, *faults):
        print(f"  {told}")

    return bool(faults)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="leave logs and results in this folder")
    parser.add_argument("--url", help="test this endpoint instead of a gateway of our own")
    parser.add_argument("legs", nargs="*", metavar="LEG", help=f"only these of {', '.join(LEGS)}")
    options = parser.parse_args()

    if not set(options.legs) <= set(LEGS):
        parser.error(f"the legs are {', '.join(LEGS)}")

    if shutil.which("npx") is None:
        raise SystemExit("npx is missing: install node (20 or newer).")

    CACHE.mkdir(parents=True, exist_ok=True)
    baseline: dict[str, dict[str, dict[str, str]]] = yaml.safe_load(BASELINE.read_text())
    has_failed = False

    with contextlib.ExitStack() as stack:
        kept = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))

        for leg in options.legs or LEGS:
            folder = kept.resolve() / leg
            folder.mkdir(parents=True, exist_ok=True)
            verdicts = (
                run_client_leg(folder)
                if leg == "client"
                else run_server_leg(folder, options.url, leg)
            )
            side = "client" if leg == "client" else "server"

            for revision, verdict in verdicts.items():
                has_failed |= report(leg, revision, verdict, baseline[side][revision])

    return 1 if has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
