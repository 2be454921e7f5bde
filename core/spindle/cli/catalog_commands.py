"""`spindle provider | model | gateway | server`: their commands and options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from spindle.cli.definition_commands import add_definition_commands
from spindle.cli.options import HOME, AsJson, Config, Home, sources_of

if TYPE_CHECKING:
    from spindle.cli.catalog import Wish
    from spindle_spi.types import Json, JsonObject

provider_app = typer.Typer(no_args_is_help=True, help="Govern model providers.")
model_app = typer.Typer(no_args_is_help=True, help="Govern models.")
gateway_app = typer.Typer(no_args_is_help=True, help="Govern upstream MCP servers.")
server_app = typer.Typer(no_args_is_help=True, help="Govern virtual servers.")

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
Kind = Annotated[str | None, typer.Option("--type", help="Its adapter, such as openai or mock.")]
Urls = Annotated[list[str] | None, typer.Option("--url", help="Base address; may be repeated.")]
KeyInput = Annotated[
    bool, typer.Option("--api-key-stdin", help="Read its key from standard input and store it.")
]
KeyVariable = Annotated[
    str | None,
    typer.Option("--api-key-env", metavar="VAR", help="Take its key from a variable, once."),
]
Aliases = Annotated[list[str] | None, typer.Option("--alias", help="Another name; repeatable.")]
Fallbacks = Annotated[
    list[str] | None, typer.Option("--fallback", help="What may answer instead; repeatable.")
]
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
Gateways = Annotated[
    list[str] | None, typer.Option("--gateway", help="Show all of this gateway; repeatable.")
]
Tools = Annotated[list[str] | None, typer.Option("--tool", help="Show this tool; repeatable.")]
Toolsets = Annotated[
    list[str] | None, typer.Option("--toolset", help="Show the tools of this one; repeatable.")
]
Models = Annotated[list[str] | None, typer.Option("--model", help="Show this model; repeatable.")]


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
            {"name": name, "provider_type": kind, "urls": _list(url)},
            _governed(visibility, team, owner, description, tag),
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
            {"provider_type": kind, "urls": _list(url)},
            _governed(visibility, team, owner, description, tag),
        ),
        settings=setting or (),
        secret="api_key",
        from_input=api_key_stdin,
        from_variable=api_key_env,
    )
    catalog.update(sources_of(home, config), RecordKind.PROVIDER, name, wish, as_json=as_json)


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
        _governed(visibility, team, owner, description, tag),
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

    governed = _governed(visibility, team, owner, description, tag)
    wish = _model_wish({}, alias, fallback, governed, setting)
    catalog.update(sources_of(home, config), RecordKind.MODEL, name, wish, as_json=as_json)


@model_app.command("hide")
def hide_model(
    name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME
) -> None:
    """Let nobody but administrators and its owner see a model."""
    _set(home, config, "model", name, {"visibility": "private"}, as_json=as_json)


@model_app.command("unhide")
def unhide_model(
    name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME
) -> None:
    """Let everybody see a model; for one team, `update --visibility team --team TEAM`."""
    _set(home, config, "model", name, {"visibility": "public"}, as_json=as_json)


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
            _governed(visibility, team, owner, description, tag),
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
            _governed(visibility, team, owner, description, tag),
        ),
        settings=setting or (),
        secret="credential",
        from_input=credential_stdin,
        from_variable=credential_env,
        auth_from_input=auth_stdin,
    )
    catalog.update(sources_of(home, config), RecordKind.GATEWAY, name, wish, as_json=as_json)


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
    governed = _governed(visibility, team, owner, description, tag)
    wish = catalog.Wish(data=said(members, governed), settings=setting or ())
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

    governed = _governed(visibility, team, owner, description, tag)
    data = said(_shown({}, gateway, tool, toolset, model), governed)
    wish = catalog.Wish(data=data, settings=setting or ())
    catalog.update(sources_of(home, config), RecordKind.SERVER, name, wish, as_json=as_json)


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
        _set(home, config, kind, name, {"enabled": True}, as_json=as_json)

    @app.command("disable", help=f"Switch a {kind} off: for its users it is not there.")
    def disable(
        name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME
    ) -> None:
        _set(home, config, kind, name, {"enabled": False}, as_json=as_json)

    @app.command("remove", help=f"Delete a {kind} that nothing needs.")
    def remove(name: Name, config: Config = None, home: Home = HOME) -> None:
        from spindle.cli import catalog
        from spindle_spi.records import Kind as RecordKind

        catalog.remove(sources_of(home, config), RecordKind(kind), name)

    del list_all, show, enable, disable, remove


for _app, _kind in (
    (provider_app, "provider"),
    (model_app, "model"),
    (gateway_app, "gateway"),
    (server_app, "server"),
):
    add_common(_app, _kind)

add_definition_commands(gateway_app)


def _set(
    home: Home, config: Config, kind: str, name: str, data: JsonObject, *, as_json: bool
) -> None:
    from spindle.cli import catalog
    from spindle_spi.records import Kind as RecordKind

    wish = catalog.Wish(data=data)
    catalog.update(sources_of(home, config), RecordKind(kind), name, wish, as_json=as_json)


def _model_wish(
    identity: JsonObject,
    alias: list[str] | None,
    fallback: list[str] | None,
    governed: JsonObject,
    setting: list[str] | None,
) -> Wish:
    from spindle.cli import catalog

    lists: JsonObject = {"aliases": _list(alias), "fallbacks": _list(fallback)}
    return catalog.Wish(data=said(identity, lists, governed), settings=setting or ())


def _shown(
    identity: JsonObject,
    gateway: list[str] | None,
    tool: list[str] | None,
    toolset: list[str] | None,
    model: list[str] | None,
) -> JsonObject:
    return {
        **identity,
        "gateways": _list(gateway),
        "tools": _list(tool),
        "toolsets": _list(toolset),
        "models": _list(model),
    }


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
        "args": _list(arg),
        "env": variables or None,
        "cwd": cwd,
    }


def _governed(
    visibility: str | None,
    team: str | None,
    owner: str | None,
    description: str | None,
    tag: list[str] | None,
) -> JsonObject:
    return {
        "visibility": visibility,
        "team": team,
        "owner": owner,
        "description": description,
        "tags": _list(tag),
    }


def _list(values: list[str] | None) -> Json:
    return [*values] if values else None


def said(*parts: JsonObject) -> JsonObject:
    """Return what was said of the parts: what is None was not."""
    return {key: value for part in parts for key, value in part.items() if value is not None}
