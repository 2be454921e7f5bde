"""The commands and their options. What they do is imported when they are called."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from spindle.cli import bundle_commands
from spindle.cli.commands import SpindleGroup
from spindle.cli.options import HOME as _HOME
from spindle.cli.options import AsJson, Config, Home
from spindle.cli.options import sources_of as _sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle.cli.access import GatewayAccess
    from spindle_spi.types import Json


class _Commands(SpindleGroup):
    """All groups but those that are made here: a start of the gateway needs none of them."""

    groups: ClassVar[Mapping[str, str]] = {
        "user": "spindle.cli.people_commands:user_app",
        "team": "spindle.cli.people_commands:team_app",
        "role": "spindle.cli.people_commands:role_app",
        "token": "spindle.cli.token_commands:app",
        "provider": "spindle.cli.provider_commands:provider_app",
        "model": "spindle.cli.model_commands:model_app",
        "gateway": "spindle.cli.gateway_commands:gateway_app",
        "server": "spindle.cli.server_commands:server_app",
        "toolset": "spindle.cli.toolset_commands:app",
        "tool": "spindle.cli.published_commands:tool_app",
        "resource": "spindle.cli.published_commands:resource_app",
        "template": "spindle.cli.published_commands:template_app",
        "prompt": "spindle.cli.published_commands:prompt_app",
        "secrets": "spindle.cli.secret_commands:app",
        "plugin": "spindle.cli.plugin_commands:app",
        "audit": "spindle.cli.audit_commands:app",
        "usage": "spindle.cli.usage_commands:usage_app",
        "budget": "spindle.cli.usage_commands:budget_app",
        "limit": "spindle.cli.usage_commands:limit_app",
    }


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="An AI gateway host: one governed catalog of models and tools.",
)
config = typer.Typer(no_args_is_help=True, help="Look at the configuration.")
modules = typer.Typer(no_args_is_help=True, help="Look at the modules and their routes.")
app.add_typer(config, name="config")
app.add_typer(modules, name="modules")
bundle_commands.add_to(config)


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"spindle {version('spindle')}")
        raise typer.Exit


@app.callback()
def prepare(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """An AI gateway host: one governed catalog of models and tools."""
    del version
    # A function, so that nothing is imported for commands that reach no gateway.
    ctx.obj = _reach_gateway


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 picks a free one.", min=0, max=65535)
    ] = None,
    config: Config = None,
    home: Home = _HOME,
    provider: Annotated[str | None, typer.Option(help="Model provider to serve.")] = None,
    model: Annotated[str | None, typer.Option(help="A model of that provider.")] = None,
) -> None:
    """Start a gateway."""
    # Until it serves: what is imported stays, and looking through it takes a fifth of the start.
    gc.disable()

    from spindle.cli.serving import serve as run

    run(_sources(home, config, {**_listening(host, port), **_providing(provider, model)}))


@app.command("doctor")
def examine(
    probe: Annotated[
        bool, typer.Option("--probe", help="Connect to providers on other machines, too.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = _HOME,
) -> None:
    """Look at the set-up, and say what to do about what is wrong.

    Looks at the configuration, home, keys, database, administrator, port or running gateway,
    disk, clock, and what else is configured. Changes nothing. Exit code 1 when there is a fault.
    """
    from spindle.cli.doctor import doctor

    doctor(_sources(home, config), probe=probe, as_json=as_json)


@app.command("reload")
def reload_gateway(as_json: AsJson = False, home: Home = _HOME) -> None:
    """Let the gateway that runs read its configuration again.

    A faulty configuration changes nothing, and every fault is told. What only a restart can
    change is named.
    """
    from spindle.cli.reload import reload

    reload(_sources(home, None), as_json=as_json)


@config.command("check")
def check_config(config: Config = None, home: Home = _HOME) -> None:
    """Say every fault of the configuration."""
    from spindle.cli import inventory

    inventory.check_config(_sources(home, config))


@config.command("show")
def show_config(
    under: Annotated[
        str | None, typer.Argument(metavar="KEY", help="Only this key and what is in it.")
    ] = None,
    only_set: Annotated[
        bool, typer.Option("--set", help="Only what somebody set, no defaults.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = _HOME,
) -> None:
    """Show every setting in force and where it comes from; secrets are masked."""
    from spindle.cli import config as configuring

    sources = _sources(home, config)
    configuring.show_config(sources, under=under, only_set=only_set, as_json=as_json)


@app.command()
def completion(
    ctx: typer.Context,
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print what a shell needs to complete these commands: `eval "$(spindle completion bash)"`."""
    from spindle.cli.completion import print_script

    print_script(ctx, shell)


@modules.command("list")
def list_modules(as_json: AsJson = False) -> None:
    """List the installed modules."""
    from spindle.cli import inventory

    inventory.list_modules(as_json=as_json)


@modules.command("routes")
def list_routes(as_json: AsJson = False, config: Config = None, home: Home = _HOME) -> None:
    """List every route with its owner and permission."""
    from spindle.cli import inventory

    inventory.list_routes(_sources(home, config), as_json=as_json)


def _reach_gateway(home: Path | None = None, config: Path | None = None) -> GatewayAccess:
    """Return what a module's command reaches a gateway with; None means the usual places."""
    from spindle.cli.access import GatewayAccess

    return GatewayAccess(
        _sources(
            home or Path(os.environ.get("SPINDLE_HOME") or _HOME),
            [config] if config else _split(os.environ.get("SPINDLE_CONFIG")),
        )
    )


def _split(said: str | None) -> list[Path]:
    return [Path(part) for part in (said or "").split(os.pathsep) if part]


def _listening(host: str | None, port: int | None) -> dict[str, Json]:
    server: dict[str, Json] = {}

    if host is not None:
        server["host"] = host

    if port is not None:
        server["port"] = port

    return {"server": server} if server else {}


def _providing(provider: str | None, model: str | None) -> dict[str, Json]:
    if provider is None:
        if model is not None:
            raise typer.BadParameter("--model needs --provider.")

        return {}

    service: dict[str, Json] = {} if model is None else {"models": [{"name": model}]}
    return {"llm": {"services": {provider: service}}}
