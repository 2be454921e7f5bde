"""Combine the coverage data of a run and compare it with the floors of [tool.spindle.coverage]."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / ".cache/coverage/report.json"
WORST_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Lines and branches: how many there are and how many ran."""

    covered: int = 0
    total: int = 0

    def plus(self, other: Tally) -> Tally:
        return Tally(covered=self.covered + other.covered, total=self.total + other.total)

    @property
    def percent(self) -> float:
        return 100.0 * self.covered / self.total if self.total else 0.0


def read_files() -> dict[str, Tally]:
    """Return the tally of each measured file, by its path."""
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "combine", "--quiet"], check=True, cwd=ROOT)
    subprocess.run([*coverage, "json", "--quiet", "-o", str(REPORT)], check=True, cwd=ROOT)
    files = json.loads(REPORT.read_text())["files"]
    return {
        path: Tally(
            covered=entry["summary"]["covered_lines"] + entry["summary"]["covered_branches"],
            total=entry["summary"]["num_statements"] + entry["summary"]["num_branches"],
        )
        for path, entry in files.items()
    }


def sum_packages(files: dict[str, Tally], packages: list[str]) -> dict[str, Tally]:
    """Return one tally a package, by the folder of that name in a file's path."""
    sums = dict.fromkeys(packages, Tally())

    for path, tally in files.items():
        owner = next(package for package in packages if package in Path(path).parts)
        sums[owner] = sums[owner].plus(tally)

    return sums


def print_worst(files: dict[str, Tally]) -> None:
    """Name the files with the most lines and branches that never ran."""
    gaps = {path: tally.total - tally.covered for path, tally in files.items()}

    for path in sorted(gaps, key=lambda name: -gaps[name])[:WORST_SHOWN]:
        if gaps[path]:
            print(f"  {files[path].percent:6.1f} %  {path}: {gaps[path]} never ran")


def main() -> int:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    settings = tool["spindle"]["coverage"]
    floors: dict[str, float] = {**settings["packages"], "total": settings["total"]}
    files = read_files()
    rows = sum_packages(files, tool["coverage"]["run"]["source_pkgs"])
    rows["total"] = functools.reduce(Tally.plus, files.values(), Tally())
    print_worst(files)
    has_failed = False

    for name, tally in rows.items():
        floor = floors.get(name, 0.0)
        is_short = tally.percent < floor or not tally.total
        has_failed = has_failed or is_short
        verdict = f"SHORT of {floor} % of {tally.total}" if is_short else ""
        print(f"coverage {name:20} {tally.percent:6.1f} %  {verdict}".rstrip())

    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
