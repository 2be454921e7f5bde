"""`spindle secrets`: its commands and options."""

from __future__ import annotations

from typing import Annotated

import typer

from spindle.cli.options import HOME, AsJson, Config, Home, sources_of

app = typer.Typer(no_args_is_help=True, help="Store secrets, and see where each is found.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name, as `list` shows it.")]


@app.command("list")
def list_secrets(as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """List every secret: where it is found, and who uses it. Never a value."""
    from spindle.cli import secrets

    secrets.list_all(sources_of(home, config), as_json=as_json)


@app.command("where")
def where(name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """Show each place where a secret is looked for, in order."""
    from spindle.cli import secrets

    secrets.where(sources_of(home, config), name, as_json=as_json)


@app.command("set")
def put(name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """Store a value, read from standard input or asked for on a terminal."""
    from spindle.cli import secrets

    secrets.put(sources_of(home, config), name, as_json=as_json)


@app.command("delete")
def delete(name: Name, config: Config = None, home: Home = HOME) -> None:
    """Forget a stored secret that no record refers to."""
    from spindle.cli import secrets

    secrets.delete(sources_of(home, config), name)


@app.command("rotate")
def rotate(as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """Encrypt every stored secret with the first of the keys, all or none.

    Put the new key before the old one in SPINDLE_SECRET_KEY or the key file, restart the
    gateway, rotate, and take the old key away.
    """
    from spindle.cli import secrets

    secrets.rotate(sources_of(home, config), as_json=as_json)


@app.command("new-key")
def new_key() -> None:
    """Print a fresh key for SPINDLE_SECRET_KEY or the key file."""
    from spindle.cli import secrets

    secrets.new_key()
