"""Prove that the suite notices: apply each patch of tests/mutants to a copy and expect failures.

A patch breaks one thing that must never break. Its first line, `# tests: <paths>`, names the tests
that have to fail. A patch that no longer applies, or tests that stay green or cannot start, fail.
"""

from __future__ import annotations

import argparse
import os
import shutil
import site
import subprocess
import sys
import tempfile
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATCHES = ROOT / "tests/mutants"
SOURCES = ("spi", "core", "modules/llm", "modules/mcp", "transport", "conformance")
HEAD = "# tests:"
SECONDS = 300
TESTS_FAILED = 1  # pytest's exit code; 2 and above say that the run itself went wrong


class MutantError(Exception):
    """The mutant proved nothing, or proved that the suite is blind."""


def read_selection(patch: Path) -> list[str]:
    first = patch.read_text().partition("\n")[0]

    if not first.startswith(HEAD) or not first.removeprefix(HEAD).split():
        raise MutantError(f"its first line does not read `{HEAD} <paths>`")

    return first.removeprefix(HEAD).split()


def copy_tree(target: Path) -> None:
    """Copy the tracked files as they are in the work tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], check=True, cwd=ROOT, capture_output=True, text=True
    ).stdout

    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def make_environment(copy: Path) -> Path:
    """Make a .venv that finds our packages in the copy and all others where they are installed.

    The copy's own interpreter, rather than PYTHONPATH, so that a test that starts a gateway with a
    clean environment still starts the mutated one. Returns the interpreter.
    """
    home = copy / ".venv"
    venv.create(home, with_pip=False, symlinks=True)
    packages = next(home.glob("lib/python*/site-packages"))
    sources = [str(copy / name) for name in SOURCES]
    installed = site.getsitepackages()[0]
    lines = [*sources, f"import site; site.addsitedir({installed!r})"]
    (packages / "mutant.pth").write_text("\n".join(lines) + "\n")
    command = Path(sys.prefix, "bin/spindle")
    mutated = home / "bin/spindle"
    mutated.write_text(command.read_text().replace(sys.prefix, str(home)))
    mutated.chmod(0o755)
    return home / "bin/python"


def run_tests(copy: Path, python: Path, selection: list[str]) -> tuple[int, str]:
    """Run the selection in the copy; return pytest's exit code and its closing line."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name != "SPINDLE_CI" and not name.startswith(("COV", "PYTEST", "PYTHON", "VIRTUAL_ENV"))
    }
    command = [str(python), "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *selection]

    try:
        done = subprocess.run(
            command, cwd=copy, env=inherited, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise MutantError(f"its tests took more than {SECONDS} s") from None

    # What programs that the tests leave behind say on standard error is no verdict.
    lines = [line for line in (done.stdout.strip() or done.stderr).splitlines() if line.strip()]
    return done.returncode, lines[-1] if lines else "no output"


def try_mutant(patch: Path) -> str:
    """Return what the suite said about the patched copy, or raise MutantError."""
    selection = read_selection(patch)

    with tempfile.TemporaryDirectory(prefix="spindle-mutant-") as folder:
        copy = Path(folder).resolve()
        copy_tree(copy)
        applied = subprocess.run(
            ["git", "apply", str(patch)], cwd=copy, capture_output=True, text=True,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)},
        )  # fmt: skip

        if applied.returncode:
            raise MutantError(f"it no longer applies: {applied.stderr.strip()}")

        code, closing = run_tests(copy, make_environment(copy), selection)

    if code == 0:
        raise MutantError(f"the suite did not notice: {closing}")

    if code != TESTS_FAILED or " failed" not in f" {closing}":
        raise MutantError(f"its tests did not run (exit code {code}): {closing}")

    return closing


def report(patch: Path) -> tuple[bool, str]:
    """Return whether a mutant was caught, and the line that says so."""
    started = time.monotonic()

    try:
        verdict, is_caught = f"caught: {try_mutant(patch.resolve())}", True
    except MutantError as error:
        verdict, is_caught = f"FAILED: {error}", False

    return is_caught, f"{patch.name}: {verdict} [{time.monotonic() - started:.0f} s]"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("patches", nargs="*", type=Path, help="only these; all by default")
    parser.add_argument("--jobs", type=int, default=2, help="mutants tried at once")
    options = parser.parse_args()
    patches: list[Path] = options.patches or sorted(PATCHES.glob("*.patch"))
    caught = 0

    # Each works in a folder of its own, and much of it waits for other processes.
    with ThreadPoolExecutor(options.jobs) as pool:
        for is_caught, line in pool.map(report, patches):
            caught += is_caught
            print(line, flush=True)

    if not patches:
        print("tests/mutants holds no patch", file=sys.stderr)

    print(f"{caught} of {len(patches)} mutants caught")
    return int(caught < len(patches) or not patches)


if __name__ == "__main__":
    sys.exit(main())
