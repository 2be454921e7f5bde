"""Runs `spindle` commands in this process: as the entry point does, without its start-up."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from spindle.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def run(*arguments: str, env: Mapping[str, str] | None = None, stdin: str | None = None) -> Ran:
    """Run a command with nothing of this process's SPINDLE_ variables."""
    clean: dict[str, str | None] = {key: None for key in os.environ if key.startswith("SPINDLE_")}
    result = CliRunner().invoke(
        app, arguments, input=stdin, env={**clean, **(env or {})}, prog_name="spindle"
    )

    # What a command does not report is a defect, and shown as one.
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception

    return Ran(code=result.exit_code, stdout=result.stdout, stderr=result.stderr)
