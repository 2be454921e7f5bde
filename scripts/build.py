"""Build the archives of a release into dist/ and refuse a wheel that points into a checkout."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def find_local_dependencies(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()

    return [line for line in lines if line.startswith("Requires-Dist:") and "file://" in line]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="the uv to build with")
    uv: str = parser.parse_args().uv
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    environment = {**os.environ, "SPINDLE_RELEASE": "1"}
    command = [uv, "build", "--quiet", "--all-packages", "--out-dir", "dist"]
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    has_failed = False

    for wheel in sorted((ROOT / "dist").glob("*.whl")):
        print(wheel.name)

        for line in find_local_dependencies(wheel):
            print(f"  points into this checkout: {line}", file=sys.stderr)
            has_failed = True

    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
