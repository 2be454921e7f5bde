"""Serve MCP over standard input and output, for clients that start programs."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spindle_mcp.clients.cli import config

if TYPE_CHECKING:
    from spindle_mcp.access import ReachGateway

mcp = typer.Typer(add_completion=False, invoke_without_command=True)
mcp.command("config")(config)


@mcp.callback()
def serve(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(help="A gateway elsewhere; no token but the one that is said is shown to it."),
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Slug of a virtual server; everything if not said.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File that holds the token; SPINDLE_TOKEN if not said.")
    ] = None,
    home: Annotated[
        Path | None, typer.Option(envvar="SPINDLE_HOME", help="Where state is kept.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="SPINDLE_TOKEN", hidden=True, show_envvar=False)
    ] = None,
) -> None:
    """Serve MCP over standard input and output, for clients that start programs.

    `spindle mcp config` prints what such a client, or any other, needs to reach the gateway.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_options(ctx)
        return

    # A client waits for the bridge, and nobody else for what it imports.
    from spindle_mcp.bridge.program import Wish, run

    reach: ReachGateway = ctx.obj
    wish = Wish(url=url, server=server, token=token, token_file=token_file)

    if not run(partial(reach, home), wish):
        raise typer.Exit(1)


def _refuse_options(ctx: typer.Context) -> None:
    """Let no option stand before a command that has the same one and would not see it."""
    said = [
        parameter.opts[0]
        for parameter in ctx.command.params
        if (source := ctx.get_parameter_source(str(parameter.name))) is not None
        and source.name == "COMMANDLINE"
    ]

    if said:
        sys.stderr.write(f"spindle mcp: {', '.join(said)}: say it after config.\n")
        raise typer.Exit(2)
