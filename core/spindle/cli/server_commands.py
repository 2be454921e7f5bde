"""`spindle server`: its commands and options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from spindle.cli.options import HOME, AsJson, Config, Home, sources_of
from spindle.cli.record_commands import (
    Description,
    Name,
    Owner,
    Settings,
    Tags,
    Team,
    Visibility,
    add_common,
    governed,
    listed,
    said,
)

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

server_app = typer.Typer(no_args_is_help=True, help="Govern virtual servers.")

Gateways = Annotated[
    list[str] | None, typer.Option("--gateway", help="Show all of this gateway; repeatable.")
]
Tools = Annotated[list[str] | None, typer.Option("--tool", help="Show this tool; repeatable.")]
Toolsets = Annotated[
    list[str] | None, typer.Option("--toolset", help="Show the tools of this one; repeatable.")
]
Models = Annotated[list[str] | None, typer.Option("--model", help="Show this model; repeatable.")]


@server_app.command("add")
def add_server(  # noqa: PLR0913 - one parameter per option
    name: Annotated[str, typer.Argument(metavar="SLUG", help="Its name, a part of its path.")],
    gateway: Gateways = None,
    tool: Tools = None,
    toolset: Toolsets = None,
    model: Models = None,
    visibility: Visibility = None,
    team: Team = None,
    owner: Owner = None,
    description: Description = None,
    tag: Tags = None,
    setting: Settings = None,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Make a virtual server: the part of the catalog that one endpoint shows."""
    from spindle.cli import catalog
    from spindle_spi.records import Kind as RecordKind

    members = _shown({"name": name}, gateway, tool, toolset, model)
    data = said(members, governed(visibility, team, owner, description, tag))
    wish = catalog.Wish(data=data, settings=setting or ())
    catalog.add(sources_of(home, config), RecordKind.SERVER, wish, as_json=as_json)


@server_app.command("update")
def update_server(  # noqa: PLR0913 - one parameter per option
    name: Name,
    gateway: Gateways = None,
    tool: Tools = None,
    toolset: Toolsets = None,
    model: Models = None,
    visibility: Visibility = None,
    team: Team = None,
    owner: Owner = None,
    description: Description = None,
    tag: Tags = None,
    setting: Settings = None,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Change what the options say of a virtual server; a list replaces the one before."""
    from spindle.cli import catalog
    from spindle_spi.records import Kind as RecordKind

    members = _shown({}, gateway, tool, toolset, model)
    data = said(members, governed(visibility, team, owner, description, tag))
    wish = catalog.Wish(data=data, settings=setting or ())
    catalog.update(sources_of(home, config), RecordKind.SERVER, name, wish, as_json=as_json)


def _shown(
    identity: JsonObject,
    gateway: list[str] | None,
    tool: list[str] | None,
    toolset: list[str] | None,
    model: list[str] | None,
) -> JsonObject:
    return {
        **identity,
        "gateways": listed(gateway),
        "tools": listed(tool),
        "toolsets": listed(toolset),
        "models": listed(model),
    }


add_common(server_app, "server")
