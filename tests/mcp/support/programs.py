"""Gateways' programs as the tests start them, and what becomes of processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio

SCRIPT = str(Path(__file__).with_name("program.py"))


def command(era: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", SCRIPT, era)


async def until(condition: Any) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False

    return status.rpartition(")")[2].split()[0] != "Z"
