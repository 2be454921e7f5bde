"""An environment for each MCP client, made from its own lock and kept under `.cache/clients`.

`python -m tests.clients.environments --lock` resolves the lists again and writes the locks:
versions and hashes, no address of a registry. Without arguments it makes the environments.
"""

from __future__ import annotations

from pathlib import Path

from tests.support import environments

_FOLDER = Path(__file__).resolve().parent

ENVIRONMENTS = environments.Environments(
    folder=_FOLDER,
    cache=environments.ROOT / ".cache" / "clients",
    python=("python_sdk", "python_sdk_v1", "fastmcp"),
    node=("typescript_sdk", "typescript_sdk_v1", "inspector", "mcp_remote"),
    shared={
        "named_checks.mjs": environments.ROOT / "tests" / "support" / "named_checks.mjs",
        "harness.mjs": _FOLDER / "harness.mjs",
    },
)


if __name__ == "__main__":
    ENVIRONMENTS.main()
