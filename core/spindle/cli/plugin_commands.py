"""`spindle plugin`: its commands and options."""

from __future__ import annotations

from typing import Annotated

import typer

from spindle.cli.options import HOME, AsJson, Config, Home, sources_of

app = typer.Typer(no_args_is_help=True, help="Say which plugins judge content, and try them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the entry is called.")]
Plugin = Annotated[str, typer.Option(help="A built-in plugin or an installed one; see `list`.")]
MaybePlugin = Annotated[str | None, typer.Option("--plugin", help="Another plugin.")]
Mode = Annotated[str | None, typer.Option(help="enforce, permissive or disabled.")]
Priority = Annotated[int | None, typer.Option(help="Lower runs earlier; 100 if not said.")]
Phases = Annotated[
    list[str] | None, typer.Option("--phase", help="A phase it runs in; may be repeated.")
]
Teams = Annotated[
    list[str] | None, typer.Option("--team", help="Pattern of callers' teams; may be repeated.")
]
Servers = Annotated[
    list[str] | None, typer.Option("--server", help="Pattern of servers; may be repeated.")
]
Tools = Annotated[
    list[str] | None, typer.Option("--tool", help="Pattern of tools; may be repeated.")
]
Models = Annotated[
    list[str] | None, typer.Option("--model", help="Pattern of models; may be repeated.")
]
Kinds = Annotated[
    list[str] | None, typer.Option("--kind", help="A kind of record; may be repeated.")
]
Budget = Annotated[float | None, typer.Option(help="Seconds a plugin that waits may take.")]
OnError = Annotated[str | None, typer.Option(help="deny or allow, when the plugin fails.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting of it, in YAML; may be repeated."),
]


@app.command("list")
def list_plugins(as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """List the entries of configuration and store, and what else can be configured."""
    from spindle.cli import plugins

    plugins.list_all(sources_of(home, config), as_json=as_json)


@app.command("show")
def show(name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """Show an entry, its settings, and what is wrong with it."""
    from spindle.cli import plugins

    plugins.show(sources_of(home, config), name, as_json=as_json)


@app.command("add")
def add(  # noqa: PLR0913 - one parameter per option
    name: Name,
    plugin: Plugin,
    mode: Mode = None,
    priority: Priority = None,
    phases: Phases = None,
    teams: Teams = None,
    servers: Servers = None,
    tools: Tools = None,
    models: Models = None,
    kinds: Kinds = None,
    budget: Budget = None,
    on_error: OnError = None,
    settings: Settings = None,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Add an entry; a running gateway asks it within a second.

    For example: spindle plugin add mask --plugin pii --team sales --set action=mask
    """
    from spindle.cli import plugins

    wish = plugins.Wish(
        plugin=plugin,
        mode=mode,
        priority=priority,
        phases=phases,
        teams=teams,
        servers=servers,
        tools=tools,
        models=models,
        kinds=kinds,
        budget=budget,
        on_error=on_error,
        settings=settings,
    )
    plugins.add(sources_of(home, config), name, wish, as_json=as_json)


@app.command("update")
def update(  # noqa: PLR0913 - one parameter per option
    name: Name,
    plugin: MaybePlugin = None,
    mode: Mode = None,
    priority: Priority = None,
    phases: Phases = None,
    teams: Teams = None,
    servers: Servers = None,
    tools: Tools = None,
    models: Models = None,
    kinds: Kinds = None,
    budget: Budget = None,
    on_error: OnError = None,
    settings: Settings = None,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Change what the options say; lists are replaced, settings one by one."""
    from spindle.cli import plugins

    wish = plugins.Wish(
        plugin=plugin,
        mode=mode,
        priority=priority,
        phases=phases,
        teams=teams,
        servers=servers,
        tools=tools,
        models=models,
        kinds=kinds,
        budget=budget,
        on_error=on_error,
        settings=settings,
    )
    plugins.update(sources_of(home, config), name, wish, as_json=as_json)


@app.command("enable")
def enable(name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """Enforce an entry."""
    from spindle.cli import plugins

    wish = plugins.Wish(mode="enforce")
    plugins.update(sources_of(home, config), name, wish, as_json=as_json)


@app.command("disable")
def disable(name: Name, as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """Keep an entry, but ask it no more."""
    from spindle.cli import plugins

    wish = plugins.Wish(mode="disabled")
    plugins.update(sources_of(home, config), name, wish, as_json=as_json)


@app.command("remove")
def remove(name: Name, config: Config = None, home: Home = HOME) -> None:
    """Remove an entry for good."""
    from spindle.cli import plugins

    plugins.remove(sources_of(home, config), name)


@app.command("try")
def try_plugin(  # noqa: PLR0913 - one parameter per option
    name: Name,
    text: Annotated[str | None, typer.Option(help="Show this text.")] = None,
    arguments: Annotated[
        str | None, typer.Option(help="Show these arguments of a tool, as JSON.")
    ] = None,
    messages: Annotated[
        str | None, typer.Option(help="Show these messages of a chat, as JSON.")
    ] = None,
    phase: Annotated[str, typer.Option(help="Phase to pretend.")] = "pre_invoke",
    plugin: Annotated[
        str | None, typer.Option(help="Try this plugin under NAME, without adding it.")
    ] = None,
    budget: Budget = None,
    settings: Settings = None,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Show an entry a sample and print its verdict; nothing is written.

    For example: spindle plugin try mask --plugin pii --text "write to ada@example.org"
    """
    from spindle.cli import plugins

    plugins.try_plugin(
        sources_of(home, config),
        name,
        plugins.Shown(text=text, arguments=arguments, messages=messages, phase=phase),
        plugins.Wish(plugin=plugin, budget=budget, settings=settings),
        as_json=as_json,
    )
