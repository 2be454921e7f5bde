"""`spindle provider`: its commands and options."""

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
    pass

provider_app = typer.Typer(no_args_is_help=True, help="Govern model providers.")

Kind = Annotated[str | None, typer.Option("--type", help="Its adapter, such as openai or mock.")]
Urls = Annotated[list[str] | None, typer.Option("--url", help="Base address; may be repeated.")]
KeyInput = Annotated[
    bool, typer.Option("--api-key-stdin", help="Read its key from standard input and store it.")
]
KeyVariable = Annotated[
    str | None,
    typer.Option("--api-key-env", metavar="VAR", help="Take its key from a variable, once."),
]


@provider_app.command("add")
def add_provider(  # noqa: PLR0913 - one parameter per option
    name: Annotated[str, typer.Argument(metavar="NAME", help="What models are prefixed with.")],
    kind: Kind = None,
    url: Urls = None,
    api_key_stdin: KeyInput = False,
    api_key_env: KeyVariable = None,
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
    """Make a provider.

    Its key is read from standard input or a variable and kept encrypted:
    `spindle provider add openai --url https://api.openai.com/v1 --api-key-stdin < key.txt`.
    """
    from spindle.cli import catalog
    from spindle_spi.records import Kind as RecordKind

    wish = catalog.Wish(
        data=said(
            {"name": name, "provider_type": kind, "urls": listed(url)},
            governed(visibility, team, owner, description, tag),
        ),
        settings=setting or (),
        secret="api_key",
        from_input=api_key_stdin,
        from_variable=api_key_env,
    )
    catalog.add(sources_of(home, config), RecordKind.PROVIDER, wish, as_json=as_json)


@provider_app.command("update")
def update_provider(  # noqa: PLR0913 - one parameter per option
    name: Name,
    kind: Kind = None,
    url: Urls = None,
    api_key_stdin: KeyInput = False,
    api_key_env: KeyVariable = None,
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
    """Change what the options say of a provider; a new key replaces the old one."""
    from spindle.cli import catalog
    from spindle_spi.records import Kind as RecordKind

    wish = catalog.Wish(
        data=said(
            {"provider_type": kind, "urls": listed(url)},
            governed(visibility, team, owner, description, tag),
        ),
        settings=setting or (),
        secret="api_key",
        from_input=api_key_stdin,
        from_variable=api_key_env,
    )
    catalog.update(sources_of(home, config), RecordKind.PROVIDER, name, wish, as_json=as_json)


add_common(provider_app, "provider")
