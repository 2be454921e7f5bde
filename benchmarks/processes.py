"""Start processes, wait until they answer, read the CPU and memory of their whole trees."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Running:
    """A started process and where it listens."""

    name: str
    process: subprocess.Popen[str]
    port: int
    environment: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Return user and system time of the process and all its descendants."""
        return sum(_cpu_of(pid) for pid in tree(self.process.pid))

    def memory_mb(self) -> float:
        """Return the resident memory of the tree, shared pages counted once per process."""
        return sum(_rss_of(pid) for pid in tree(self.process.pid)) / 1e6


def tree(pid: int) -> list[int]:
    """Return a process and its living descendants."""
    found = [pid]

    for parent in found:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except OSError:
            continue

        found += map(int, children)

    return found


def _cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0

    # utime, stime and what reaped children used.
    return sum(map(int, fields[11:15])) / _TICKS


def _rss_of(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0

    return pages * os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    name: str,
    command: list[str],
    port: int,
    *,
    environment: dict[str, str] | None = None,
    seconds: float = 30,
) -> Generator[Running]:
    """Run a process until the block ends; entered once its port accepts."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **(environment or {})},
    )

    try:
        _await_port(process, port, seconds)
        yield Running(name, process, port)
    finally:
        process.terminate()

        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_port(process: subprocess.Popen[str], port: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds

    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")

        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            return

    raise RuntimeError(f"{process.args!r} does not listen on {port}")
