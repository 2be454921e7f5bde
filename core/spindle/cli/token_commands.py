"""`spindle token`: its commands and options."""

from __future__ import annotations

from typing import Annotated

import typer

from spindle.cli.options import HOME, AsJson, Config, Home, sources_of

app = typer.Typer(no_args_is_help=True, help="Make, list, rotate and revoke API tokens.")

Which = Annotated[str, typer.Argument(metavar="ID", help="Its id, or what it starts with.")]


@app.command("create")
def create(  # noqa: PLR0913 - one parameter per option
    name: Annotated[str, typer.Option(help="What it is for.")] = "token",
    team: Annotated[list[str] | None, typer.Option(help="A team it sees; may be repeated.")] = None,
    role: Annotated[
        str | None, typer.Option(help="Its role; without a user developer if not said.")
    ] = None,
    permission: Annotated[
        list[str] | None, typer.Option(help="Only these of the role's; may be repeated.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="E-mail of the person behind it.")] = None,
    expires: Annotated[str | None, typer.Option(help="30d, 12h, or a date.")] = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="Sees everything if no team is said.")
    ] = False,
    server: Annotated[str | None, typer.Option(help="Only for this virtual server.")] = None,
    address: Annotated[
        list[str] | None, typer.Option(help="Only from this range of addresses; may be repeated.")
    ] = None,
    hours: Annotated[
        list[str] | None,
        typer.Option(help="Only then, in UTC: mon-fri/08:00-18:00; may be repeated."),
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Make a token and print it, once.

    A user's token is worth what the user is worth at any time, or less; without a user it has
    its role.
    """
    from spindle.cli import tokens

    options = tokens.TokenOptions(
        name=name,
        role=role,
        teams=team or (),
        permissions=permission or (),
        user=user,
        expires=expires,
        is_admin=admin,
        server=server,
        addresses=address or (),
        hours=hours or (),
    )
    tokens.create(sources_of(home, config), options, as_json=as_json)


@app.command("list")
def list_all(as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """List the tokens, never their text."""
    from spindle.cli import tokens

    tokens.list_all(sources_of(home, config), as_json=as_json)


@app.command("show")
def show(which: Which, as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """Show everything about a token but its text."""
    from spindle.cli import tokens

    tokens.show(sources_of(home, config), which, as_json=as_json)


@app.command("revoke")
def revoke(which: Which, as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """Revoke a token for good."""
    from spindle.cli import tokens

    tokens.revoke(sources_of(home, config), which, as_json=as_json)


@app.command("rotate")
def rotate(which: Which, as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """Give a token a new text and print it, once. The old text ends, the settings stay."""
    from spindle.cli import tokens

    tokens.rotate(sources_of(home, config), which, as_json=as_json)


@app.command("recover")
def recover(as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """Mint a new administrator's token into SPINDLE_HOME/admin-token, when it was lost."""
    from spindle.cli import tokens

    tokens.recover(sources_of(home, config), as_json=as_json)
