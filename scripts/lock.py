"""Write the locks from the dependency lists, or check that they are not older than those are.

requirements.lock is what `make install` installs; requirements-litellm.lock is what a gateway with
that extra consists of. A lock's first line carries a digest of the lists it was made from, so the
check needs neither a network nor a resolver. It holds versions and hashes, and no address of a
registry.
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
EXTRA = "litellm"
"""The extra that stays out of the lock of everybody: it brings hundreds of megabytes."""
EXTRA_LOCK = ROOT / "requirements-litellm.lock"
PROJECTS = ("pyproject.toml", "spi/pyproject.toml", "conformance/pyproject.toml")
COOLDOWN = "7 days"  # a release has to be that old before it gets into the lock


def digest_inputs(*, with_extra: bool = False) -> str:
    """Return a digest of every list that decides what a lock holds."""
    inputs: list[object] = []

    for name in PROJECTS:
        document = tomllib.loads((ROOT / name).read_text())
        project = document["project"]
        hatch = document.get("tool", {}).get("hatch", {}).get("metadata", {})
        extras = project.get("optional-dependencies", {})
        inputs.append(
            {
                "file": name,
                "python": project["requires-python"],
                "dependencies": sorted(project.get("dependencies", [])),
                "dynamic": sorted(hatch.get("hooks", {}).get("custom", {}).get("dependencies", [])),
                "extras": {name: extras[name] for name in extras if with_extra or name != EXTRA},
                "groups": document.get("dependency-groups", {}),
            }
        )

    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def head_line(*, with_extra: bool = False) -> str:
    digest = digest_inputs(with_extra=with_extra)
    return f"# made by `make lock`; do not edit; inputs sha256:{digest}\n"


def find_faults() -> list[str]:
    """Return what is wrong with the committed locks."""
    faults: list[str] = []

    for lock, with_extra in ((LOCK, False), (EXTRA_LOCK, True)):
        text = lock.read_text()

        if not text.startswith(head_line(with_extra=with_extra)):
            faults.append(f"{lock.name} is older than the dependency lists: run `make lock`")

        if "://" in text:
            faults.append(f"{lock.name} holds an address; it may hold versions and hashes only")

    return faults


def write_locks(uv: str) -> None:
    subprocess.run(
        [uv, "lock", "--quiet", "--upgrade", "--exclude-newer", COOLDOWN], check=True, cwd=ROOT
    )
    everything = ("--all-groups", "--all-extras", "--no-extra", EXTRA, "--all-packages")
    LOCK.write_text(head_line() + export(uv, *everything))
    with_extra = export(uv, "--no-dev", "--extra", EXTRA)
    EXTRA_LOCK.write_text(head_line(with_extra=True) + with_extra)


def export(uv: str, *what: str) -> str:
    """Return versions and hashes of a part of uv.lock."""
    return subprocess.run(
        [uv, "export", "--quiet", "--frozen", *what, "--no-emit-workspace", "--no-header"],
        check=True, cwd=ROOT, capture_output=True, text=True,
    ).stdout  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare, write nothing")
    parser.add_argument("--uv", default="uv", help="the uv to resolve with")
    arguments = parser.parse_args()

    if not arguments.check:
        write_locks(arguments.uv)

    faults = find_faults()

    for fault in faults:
        print(fault, file=sys.stderr)

    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
