"""`spindle config export | plan | apply | versions | rollback`: commands and options."""

from __future__ import annotations

from typing import Annotated

import typer

from spindle.cli.options import HOME, AsJson, Config, Home, sources_of

File = Annotated[
    str, typer.Argument(metavar="FILE", help="A YAML or .json document; - reads standard input.")
]
Prune = Annotated[bool, typer.Option("--prune", help="Delete what the document does not name.")]
Note = Annotated[str, typer.Option(help="Why, for those who look at the versions.")]


def add_to(app: typer.Typer) -> None:
    """Give the commands to the app `config`."""
    app.command("export")(export)
    app.command("plan")(plan)
    app.command("apply")(apply)
    app.command("versions")(versions)
    app.command("rollback")(rollback)


def export(
    everything: Annotated[
        bool, typer.Option("--all", help="Also what is declared elsewhere, as read-only.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Print the catalog as one YAML document, never a secret."""
    from spindle.cli import bundles

    bundles.export(sources_of(home, config), everything=everything, as_json=as_json)


def plan(
    file: File,
    prune: Prune = False,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Show what a document would change, and all that is wrong with it; change nothing."""
    from spindle.cli import bundles

    bundles.plan(sources_of(home, config), file, prune=prune, as_json=as_json)


def apply(  # noqa: PLR0913 - one parameter per option
    file: File,
    prune: Prune = False,
    note: Note = "",
    revision: Annotated[
        str | None, typer.Option(help="Only if the catalog is as it was at this plan.")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Change the catalog to what a document says: all of it, or nothing."""
    from spindle.bundles.service import Wish
    from spindle.cli import bundles

    wish = Wish(prune=prune, revision=revision, note=note)
    bundles.apply(sources_of(home, config), file, wish, as_json=as_json)


def versions(as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """List what documents changed, the newest first."""
    from spindle.cli import bundles

    bundles.versions(sources_of(home, config), as_json=as_json)


def rollback(
    version: Annotated[int, typer.Argument(metavar="VERSION", help="As `versions` shows it.")],
    note: Note = "",
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Go back to what was before a version, and before all later ones."""
    from spindle.cli import bundles

    bundles.rollback(sources_of(home, config), version, note, as_json=as_json)
