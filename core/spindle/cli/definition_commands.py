"""The commands of `spindle gateway` about what its upstream offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from spindle.cli.options import HOME, AsJson, Config, Home, sources_of

if TYPE_CHECKING:
    from collections.abc import Sequence

Name = Annotated[str, typer.Argument(metavar="NAME", help="The gateway's name.")]
Definitions = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TOOL]…", help="Names as `changes` shows them."),
]
All = Annotated[bool, typer.Option("--all", help="Every change there is.")]
Version = Annotated[
    str | None,
    typer.Option(metavar="VERSION", help="What was looked at, as `changes` says it."),
]


def add_definition_commands(app: typer.Typer) -> None:
    """Give an app the commands."""

    @app.command("inspect")
    def inspect(
        name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME
    ) -> None:
        """Show what a gateway's upstream offers, and what of it is kept out and why."""
        from spindle.cli import definitions

        definitions.inspect(sources_of(home, config), name, as_json=as_json)

    @app.command("changes")
    def changes(
        name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME
    ) -> None:
        """Show what the upstream changed in its definitions since they were approved."""
        from spindle.cli import definitions

        definitions.changes(sources_of(home, config), name, as_json=as_json)

    @app.command("approve")
    def approve(  # noqa: PLR0913 - one parameter for each thing that may be said
        name: Name,
        tool: Definitions = None,
        every: All = False,
        version: Version = None,
        as_json: AsJson = False,
        config: Config = None,
        home: Home = HOME,
    ) -> None:
        """Serve changed definitions as `changes` showed them: some by name, or `--all`."""
        from spindle.cli import definitions
        from spindle.cli.failures import fail

        names = _chosen(tool, every)

        if version is None:
            fail(f"Say --version, which `spindle gateway changes {name}` prints.")

        sources = sources_of(home, config)
        definitions.decide(sources, name, "approve", names, version=version, as_json=as_json)

    @app.command("reject")
    def reject(  # noqa: PLR0913 - one parameter for each thing that may be said
        name: Name,
        tool: Definitions = None,
        every: All = False,
        version: Version = None,
        as_json: AsJson = False,
        config: Config = None,
        home: Home = HOME,
    ) -> None:
        """Withhold changed definitions until the upstream changes them again."""
        from spindle.cli import definitions

        names = _chosen(tool, every)
        sources = sources_of(home, config)
        definitions.decide(sources, name, "reject", names, version=version, as_json=as_json)

    del inspect, changes, approve, reject


def _chosen(names: list[str] | None, every: bool) -> Sequence[str]:
    from spindle.cli.failures import fail

    if bool(names) == every:
        fail("Name the definitions, or say --all.")

    return names or ()
