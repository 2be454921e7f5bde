"""`spindle completion SHELL`: what a shell reads to complete the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typer.completion import show_callback

from spindle.cli.failures import Failure, reported

if TYPE_CHECKING:
    import typer

SHELLS: Final = ("bash", "zsh", "fish")


def print_script(ctx: typer.Context, shell: str) -> None:
    """Print the script of a shell, and end the command."""
    with reported():
        if shell not in SHELLS:
            known = ", ".join(SHELLS)
            raise Failure(f"There is no completion for {shell!r}; there is one for: {known}.")

    show_callback(ctx, ctx.command.params[0], shell)
