"""Write requirements.lock from the dependency lists, or check that it is not older than they are.

The lock's first line carries a digest of the lists it was made from, so the check needs neither
a network nor a resolver. It holds versions and hashes, and no address of a registry.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
PROJECTS = ("pyproject.toml", "spi/pyproject.toml", "conformance/pyproject.toml")
COOLDOWN = "7 days"  # a release has to be that old before it gets into the lock


def digest_inputs() -> str:
    """Return a digest of every list that decides what the lock holds."""
    inputs: list[object] = []

    for name in PROJECTS:
        document = tomllib.loads((ROOT / name).read_text())
        project = document["project"]
        hatch = document.get("tool", {}).get("hatch", {}).get("metadata", {})
        inputs.append(
            {
                "file": name,
                "python": project["requires-python"],
                "dependencies": sorted(project.get("dependencies", [])),
                "dynamic": sorted(hatch.get("hooks", {}).get("custom", {}).get("dependencies", [])),
                "extras": project.get("optional-dependencies", {}),
                "groups": document.get("dependency-groups", {}),
            }
        )

    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def head_line() -> str:
    return f"# made by `make lock`; do not edit; inputs sha256:{digest_inputs()}\n"


def find_faults() -> list[str]:
    """Return what is wrong with the committed lock."""
    text = LOCK.read_text()
    faults: list[str] = []

    if not text.startswith(head_line()):
        faults.append("requirements.lock is older than the dependency lists: run `make lock`")

    if "://" in text:
        faults.append("requirements.lock holds an address; it may hold versions and hashes only")

    return faults


def write_lock(uv: str) -> None:
    subprocess.run(
        [uv, "lock", "--quiet", "--upgrade", "--exclude-newer", COOLDOWN], check=True, cwd=ROOT
    )
    exported = subprocess.run(
        [uv, "export", "--quiet", "--frozen", "--all-groups", "--all-extras", "--all-packages",
         "--no-emit-workspace", "--no-header"],
        check=True, cwd=ROOT, capture_output=True, text=True,
    ).stdout  # fmt: skip
    LOCK.write_text(head_line() + exported)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare, write nothing")
    parser.add_argument("--uv", default="uv", help="the uv to resolve with")
    arguments = parser.parse_args()

    if not arguments.check:
        write_lock(arguments.uv)

    faults = find_faults()

    for fault in faults:
        print(fault, file=sys.stderr)

    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
