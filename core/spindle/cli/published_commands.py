"""`spindle tool | resource | template | prompt`: who sees what upstreams publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from spindle.cli.options import HOME, AsJson, Config, Home, sources_of
from spindle.cli.record_commands import (
    Description,
    Owner,
    Settings,
    Tags,
    Team,
    Visibility,
    said,
)

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

tool_app = typer.Typer(no_args_is_help=True, help="Govern tools, over a gateway that runs.")
resource_app = typer.Typer(no_args_is_help=True, help="Govern resources, over a gateway that runs.")
template_app = typer.Typer(
    no_args_is_help=True, help="Govern templates of resources, over a gateway that runs."
)
prompt_app = typer.Typer(no_args_is_help=True, help="Govern prompts, over a gateway that runs.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name, as `list` shows it.")]


def _add_commands(app: typer.Typer, kind: str) -> None:
    path = f"{kind}s"

    @app.command("list", help=f"List every {kind} there is at the moment.")
    def list_all(as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
        from spindle.cli import published

        published.list_all(sources_of(home, config), path, as_json=as_json)

    @app.command("update", help=f"Say who sees a {kind}, and how it is described.")
    def update(  # noqa: PLR0913 - one parameter per option
        name: Name,
        visibility: Visibility = None,
        team: Team = None,
        owner: Owner = None,
        description: Description = None,
        tag: Tags = None,
        as_json: AsJson = False,
        config: Config = None,
        home: Home = HOME,
    ) -> None:
        from spindle.cli import published

        changes = said(
            {
                "visibility": visibility,
                "team": team,
                "owner": owner,
                "description": description,
                "tags": [*tag] if tag else None,
            }
        )
        published.change(sources_of(home, config), path, name, changes, as_json=as_json)

    @app.command("enable", help=f"Switch a {kind} on.")
    def enable(
        name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME
    ) -> None:
        from spindle.cli import published

        sources = sources_of(home, config)
        published.change(sources, path, name, {"enabled": True}, as_json=as_json)

    @app.command("disable", help=f"Switch a {kind} off: for its users it is not there.")
    def disable(
        name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME
    ) -> None:
        from spindle.cli import published

        sources = sources_of(home, config)
        published.change(sources, path, name, {"enabled": False}, as_json=as_json)

    del list_all, update, enable, disable


@tool_app.command("add")
def add_tool(  # noqa: PLR0913 - one parameter per option
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the tool is called.")],
    model: Annotated[str, typer.Option(help="The model it asks, as PROVIDER~NAME or an alias.")],
    task: Annotated[str | None, typer.Option(help="chat or embeddings.")] = None,
    title: Annotated[str | None, typer.Option(help="Its name for people.")] = None,
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
    """Make a tool that asks a model, as who calls it.

    `spindle tool add ask --model openai~gpt-4o-mini --description "Ask a quick model."`
    """
    from spindle.cli import catalog
    from spindle_spi.records import Kind as RecordKind

    governed: JsonObject = {
        "visibility": visibility,
        "team": team,
        "owner": owner,
        "description": description,
        "tags": [*tag] if tag else None,
    }
    wish = catalog.Wish(
        data=said({"name": name, "model": model, "task": task, "title": title}, governed),
        settings=setting or (),
    )
    catalog.add(sources_of(home, config), RecordKind.TOOL, wish, as_json=as_json)


@tool_app.command("remove")
def remove_tool(name: Name, config: Config = None, home: Home = HOME) -> None:
    """Remove a tool that asks a model; what upstreams publish is switched off instead."""
    from spindle.cli import catalog
    from spindle_spi.records import Kind as RecordKind

    catalog.remove(sources_of(home, config), RecordKind.TOOL, name)


_add_commands(tool_app, "tool")
_add_commands(resource_app, "resource")
_add_commands(template_app, "template")
_add_commands(prompt_app, "prompt")
