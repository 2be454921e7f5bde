"""What the commands of every kind of record share: options, and the commands that do not differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from spindle.cli.options import HOME, AsJson, Config, Home, sources_of

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name, as `list` shows it.")]
Visibility = Annotated[
    str | None, typer.Option(help="public, team or private: who sees it beside administrators.")
]
Team = Annotated[str | None, typer.Option(help="The team it belongs to.")]
Owner = Annotated[str | None, typer.Option(help="E-mail of the person it belongs to.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be repeated.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any other field, its value as YAML; may be repeated."
    ),
]


def add_common(app: typer.Typer, kind: str) -> None:
    """Give an app the commands that are the same for every kind."""

    @app.command("list", help=f"List the {kind}s.")
    def list_all(as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
        from spindle.cli import catalog
        from spindle_spi.records import Kind as RecordKind

        catalog.list_all(sources_of(home, config), RecordKind(kind), as_json=as_json)

    @app.command("show", help=f"Show one {kind}, never its secret.")
    def show(name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
        from spindle.cli import catalog
        from spindle_spi.records import Kind as RecordKind

        catalog.show(sources_of(home, config), RecordKind(kind), name, as_json=as_json)

    @app.command("enable", help=f"Switch a {kind} on.")
    def enable(
        name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME
    ) -> None:
        set_fields(home, config, kind, name, {"enabled": True}, as_json=as_json)

    @app.command("disable", help=f"Switch a {kind} off: for its users it is not there.")
    def disable(
        name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME
    ) -> None:
        set_fields(home, config, kind, name, {"enabled": False}, as_json=as_json)

    @app.command("remove", help=f"Delete a {kind} that nothing needs.")
    def remove(name: Name, config: Config = None, home: Home = HOME) -> None:
        from spindle.cli import catalog
        from spindle_spi.records import Kind as RecordKind

        catalog.remove(sources_of(home, config), RecordKind(kind), name)

    del list_all, show, enable, disable, remove


def set_fields(
    home: Home, config: Config, kind: str, name: str, data: JsonObject, *, as_json: bool
) -> None:
    """Change some fields of a record."""
    from spindle.cli import catalog
    from spindle_spi.records import Kind as RecordKind

    wish = catalog.Wish(data=data)
    catalog.update(sources_of(home, config), RecordKind(kind), name, wish, as_json=as_json)


def governed(
    visibility: str | None,
    team: str | None,
    owner: str | None,
    description: str | None,
    tag: list[str] | None,
) -> JsonObject:
    """Return what the options say of who may see a record and what it is for."""
    return {
        "visibility": visibility,
        "team": team,
        "owner": owner,
        "description": description,
        "tags": listed(tag),
    }


def listed(values: list[str] | None) -> Json:
    """Return what was given by an option that may be repeated."""
    return [*values] if values else None


def said(*parts: JsonObject) -> JsonObject:
    """Return what was said of the parts: what is None was not."""
    return {key: value for part in parts for key, value in part.items() if value is not None}
