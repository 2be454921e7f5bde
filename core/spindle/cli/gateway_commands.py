"""`spindle gateway`: its commands and options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from spindle.cli.definition_commands import add_definition_commands
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

gateway_app = typer.Typer(no_args_is_help=True, help="Govern upstream MCP servers.")

Url = Annotated[str | None, typer.Option(help="Its address.")]
Transport = Annotated[
    str | None, typer.Option(help="streamable_http, sse, stdio, openapi or builtin.")
]
Command = Annotated[
    str | None, typer.Option(help="The program to start; arguments by --arg.", metavar="PROGRAM")
]
Arguments = Annotated[
    list[str] | None, typer.Option("--arg", help="One argument of the program; repeatable.")
]
Variables = Annotated[
    list[str] | None,
    typer.Option(
        "--env",
        metavar="NAME=VALUE",
        help="A variable of the program; NAME=@SECRET for a stored secret; repeatable.",
    ),
]
Folder = Annotated[str | None, typer.Option("--cwd", help="Working folder of the program.")]
CredentialInput = Annotated[
    bool, typer.Option("--credential-stdin", help="Read its credential from standard input.")
]
AuthInput = Annotated[
    bool,
    typer.Option("--auth-stdin", help="Read `auth`, secrets among it, as JSON from there."),
]
CredentialVariable = Annotated[
    str | None,
    typer.Option("--credential-env", metavar="VAR", help="Take it from a variable, once."),
]


@gateway_app.command("add")
def add_gateway(  # noqa: PLR0913 - one parameter per option
    name: Annotated[str, typer.Argument(metavar="NAME", help="What its tools are prefixed with.")],
    url: Url = None,
    transport: Transport = None,
    command: Command = None,
    arg: Arguments = None,
    env: Variables = None,
    cwd: Folder = None,
    credential_stdin: CredentialInput = False,
    credential_env: CredentialVariable = None,
    auth_stdin: AuthInput = False,
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
    """Make a gateway to an MCP server.

    One at an address: `--url http://127.0.0.1:9000/mcp`. One that is a program:
    `--transport stdio --command uvx --arg mcp-server-git`, when the configuration allows that
    command (mcp.stdio.allow).
    """
    from spindle.cli import catalog
    from spindle_spi.records import Kind as RecordKind

    wish = catalog.Wish(
        data=said(
            {"name": name, "url": url, **_program(transport, command, arg, env, cwd)},
            governed(visibility, team, owner, description, tag),
        ),
        settings=setting or (),
        secret="credential",
        from_input=credential_stdin,
        from_variable=credential_env,
        auth_from_input=auth_stdin,
    )
    catalog.add(sources_of(home, config), RecordKind.GATEWAY, wish, as_json=as_json)


@gateway_app.command("update")
def update_gateway(  # noqa: PLR0913 - one parameter per option
    name: Name,
    url: Url = None,
    transport: Transport = None,
    command: Command = None,
    arg: Arguments = None,
    env: Variables = None,
    cwd: Folder = None,
    credential_stdin: CredentialInput = False,
    credential_env: CredentialVariable = None,
    auth_stdin: AuthInput = False,
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
    """Change what the options say of a gateway."""
    from spindle.cli import catalog
    from spindle_spi.records import Kind as RecordKind

    wish = catalog.Wish(
        data=said(
            {"url": url, **_program(transport, command, arg, env, cwd)},
            governed(visibility, team, owner, description, tag),
        ),
        settings=setting or (),
        secret="credential",
        from_input=credential_stdin,
        from_variable=credential_env,
        auth_from_input=auth_stdin,
    )
    catalog.update(sources_of(home, config), RecordKind.GATEWAY, name, wish, as_json=as_json)


def _program(
    transport: str | None,
    command: str | None,
    arg: list[str] | None,
    env: list[str] | None,
    cwd: str | None,
) -> JsonObject:
    variables: JsonObject = {}

    for each in env or ():
        name, separator, value = each.partition("=")

        if not separator or not name:
            from spindle.cli.failures import fail

            fail(f"{name!r} is no variable: write NAME=VALUE, or NAME=@SECRET.")

        variables[name] = {"secret": value[1:]} if value.startswith("@") else value

    return {
        "transport": transport,
        "command": command,
        "args": listed(arg),
        "env": variables or None,
        "cwd": cwd,
    }


add_common(gateway_app, "gateway")
add_definition_commands(gateway_app)
