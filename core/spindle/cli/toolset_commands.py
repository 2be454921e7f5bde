"""`spindle toolset`: named selections of tools."""

from __future__ import annotations

from typing import Annotated

import typer

from spindle.cli.options import HOME, AsJson, Config, Home, sources_of
from spindle.cli.record_commands import (
    Description,
    Owner,
    Tags,
    Team,
    Visibility,
    add_common,
    said,
)
from spindle_spi.types import JsonObject

app = typer.Typer(no_args_is_help=True, help="Keep toolsets, named selections of tools.")

Tools = Annotated[list[str] | None, typer.Option("--tool", help="A tool of it; repeatable.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name, as `list` shows it.")]


@app.command("add")
def add(  # noqa: PLR0913 - one parameter per option
    name: Name,
    tool: Tools = None,
    visibility: Visibility = None,
    team: Team = None,
    owner: Owner = None,
    description: Description = None,
    tag: Tags = None,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Make a toolset: `spindle toolset add reading --tool files__read --tool files__list`."""
    from spindle.cli import catalog
    from spindle_spi.records import Kind

    members: JsonObject = {
        "name": name,
        "tools": [*tool] if tool else None,
        "visibility": visibility,
        "team": team,
        "owner": owner,
        "description": description,
        "tags": [*tag] if tag else None,
    }
    wish = catalog.Wish(data=said(members))
    catalog.add(sources_of(home, config), Kind.TOOLSET, wish, as_json=as_json)


add_common(app, "toolset")
