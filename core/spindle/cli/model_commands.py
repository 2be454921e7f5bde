"""`spindle model`: its commands and options."""

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
    set_fields,
)

if TYPE_CHECKING:
    from spindle.cli.catalog import Wish
    from spindle_spi.types import JsonObject

model_app = typer.Typer(no_args_is_help=True, help="Govern models.")

Aliases = Annotated[list[str] | None, typer.Option("--alias", help="Another name; repeatable.")]
Fallbacks = Annotated[
    list[str] | None, typer.Option("--fallback", help="What may answer instead; repeatable.")
]


@model_app.command("add")
def add_model(  # noqa: PLR0913 - one parameter per option
    name: Annotated[
        str, typer.Argument(metavar="PROVIDER~MODEL", help="Its provider, and its name there.")
    ],
    alias: Aliases = None,
    fallback: Fallbacks = None,
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
    """Make a model: `spindle model add openai~gpt-4o --alias default --set input_price=2.5`."""
    from spindle.cli import catalog
    from spindle.cli.failures import fail
    from spindle_spi.records import Kind as RecordKind

    provider, separator, upstream = name.partition("~")

    if not separator:
        fail(f"{name!r} is no model's name: write PROVIDER~MODEL.")

    wish = _model_wish(
        {"provider": provider, "upstream_name": upstream},
        alias,
        fallback,
        governed(visibility, team, owner, description, tag),
        setting,
    )
    catalog.add(sources_of(home, config), RecordKind.MODEL, wish, as_json=as_json)


@model_app.command("update")
def update_model(  # noqa: PLR0913 - one parameter per option
    name: Name,
    alias: Aliases = None,
    fallback: Fallbacks = None,
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
    """Change what the options say of a model."""
    from spindle.cli import catalog
    from spindle_spi.records import Kind as RecordKind

    told = governed(visibility, team, owner, description, tag)
    wish = _model_wish({}, alias, fallback, told, setting)
    catalog.update(sources_of(home, config), RecordKind.MODEL, name, wish, as_json=as_json)


@model_app.command("hide")
def hide_model(
    name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME
) -> None:
    """Let nobody but administrators and its owner see a model."""
    set_fields(home, config, "model", name, {"visibility": "private"}, as_json=as_json)


@model_app.command("unhide")
def unhide_model(
    name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME
) -> None:
    """Let everybody see a model; for one team, `update --visibility team --team TEAM`."""
    set_fields(home, config, "model", name, {"visibility": "public"}, as_json=as_json)


def _model_wish(
    identity: JsonObject,
    alias: list[str] | None,
    fallback: list[str] | None,
    told: JsonObject,
    setting: list[str] | None,
) -> Wish:
    from spindle.cli import catalog

    lists: JsonObject = {"aliases": listed(alias), "fallbacks": listed(fallback)}
    return catalog.Wish(data=said(identity, lists, told), settings=setting or ())


add_common(model_app, "model")
