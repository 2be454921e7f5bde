"""The command line. Importing it imports no command."""

from __future__ import annotations


def main() -> None:
    """Run the command line; the entry point of `spindle`."""
    from spindle.cli.app import app

    app(prog_name="spindle")
