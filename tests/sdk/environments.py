"""An environment for each SDK, made from its own lock and kept under `.cache/sdk`.

`python -m tests.sdk.environments --lock` resolves the lists again and writes the locks: versions
and hashes, no address of a registry. Without arguments it makes the environments.
"""

from __future__ import annotations

from pathlib import Path

from tests.support import environments

_FOLDER = Path(__file__).resolve().parent

ENVIRONMENTS = environments.Environments(
    folder=_FOLDER,
    cache=environments.ROOT / ".cache" / "sdk",
    python=("openai_python", "anthropic_python", "langchain", "pydantic_ai"),
    node=("openai_node", "vercel_ai"),
    shared={
        "named_checks.mjs": environments.ROOT / "tests" / "support" / "named_checks.mjs",
        "harness.mjs": _FOLDER / "harness.mjs",
    },
)


if __name__ == "__main__":
    ENVIRONMENTS.main()
