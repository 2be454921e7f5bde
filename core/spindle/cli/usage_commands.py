"""`spindle usage`, `spindle budget` and `spindle limit`: their commands and options."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from spindle.cli.options import HOME, AsJson, Config, Home, sources_of

usage_app = typer.Typer(help="See what calls used, and what is left of the budgets.")
budget_app = typer.Typer(no_args_is_help=True, help="Bound what may be spent.")
limit_app = typer.Typer(no_args_is_help=True, help="Bound what may be done in a minute.")


@usage_app.callback(invoke_without_command=True)
def usage(  # noqa: PLR0913 - one parameter per option
    ctx: typer.Context,
    by: Annotated[
        str,
        typer.Option(help="token, user, team, model, provider, kind, status, day, hour; or a,b."),
    ] = "model",
    since: Annotated[str, typer.Option(help="From then on: 7d (ago), 12h, or a date.")] = "30d",
    until: Annotated[str | None, typer.Option(help="Before then.")] = None,
    team: Annotated[str | None, typer.Option(help="Only what this team used.")] = None,
    user: Annotated[str | None, typer.Option(help="Only what this person used.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Sum up what calls used: tokens, money, time."""
    if ctx.invoked_subcommand is not None:
        return

    from spindle.cli import usage as commands

    wish = commands.UsageWish(by=by, since=since, until=until, team=team, user=user)
    form: Literal["table", "csv", "json"] = "json" if as_json else "table"
    commands.show_usage(sources_of(home, config), wish, form="csv" if as_csv else form)


@usage_app.command("budgets")
def usage_budgets(as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """Show every budget with what is spent of it."""
    list_budgets(as_json, config, home)


@budget_app.command("list")
def list_budgets(as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """Show every budget with what is spent of it."""
    from spindle.cli import budgets

    budgets.list_budgets(sources_of(home, config), as_json=as_json)


@budget_app.command("create")
def create_budget(  # noqa: PLR0913 - one parameter per option
    period: Annotated[
        Literal["day", "week", "month", "total"], typer.Option(help="When it starts again.")
    ],
    scope: Annotated[
        Literal["global", "token", "user", "team"], typer.Option(help="Whose spending it bounds.")
    ] = "global",
    name: Annotated[str, typer.Option(help="Id, e-mail or team; * is each one apart.")] = "",
    usd: Annotated[float | None, typer.Option(help="US dollars.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Tokens.")] = None,
    soft: Annotated[bool, typer.Option("--soft", help="Only report, refuse nothing.")] = False,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Make a budget; a running gateway keeps to it within a second."""
    from spindle.cli import budgets
    from spindle.store.budgets import BudgetRow

    row = BudgetRow(
        scope=scope,
        name=name.lower() if scope == "user" else name,
        period=period,
        limit_usd=usd,
        limit_tokens=tokens,
        is_hard=not soft,
    )
    budgets.create_budget(sources_of(home, config), row, as_json=as_json)


@budget_app.command("delete")
def delete_budget(
    which: Annotated[str, typer.Argument(metavar="ID", help="Its id.")],
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Delete a budget with what is noted of it."""
    from spindle.cli import budgets

    budgets.delete_budget(sources_of(home, config), which)


@limit_app.command("list")
def list_limits(as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """Show the limits that were set here or by the API, not those of the configuration."""
    from spindle.cli import budgets

    budgets.list_limits(sources_of(home, config), as_json=as_json)


@limit_app.command("create")
def create_limit(  # noqa: PLR0913 - one parameter per option
    scope: Annotated[
        Literal["token", "user", "team", "role"], typer.Option(help="Whose calls it bounds.")
    ],
    name: Annotated[str, typer.Option(help="Id, e-mail, team or role; * is each one apart.")],
    requests: Annotated[int | None, typer.Option(help="Requests in a minute.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Tokens in a minute.")] = None,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Set a limit; a running gateway keeps to it within a second."""
    from spindle.cli import budgets
    from spindle.store.limits import RateLimitRow

    row = RateLimitRow(
        scope=scope,
        name=name.lower() if scope == "user" else name,
        requests_per_minute=requests,
        tokens_per_minute=tokens,
    )
    budgets.create_limit(sources_of(home, config), row, as_json=as_json)


@limit_app.command("delete")
def delete_limit(
    which: Annotated[str, typer.Argument(metavar="ID", help="Its id.")],
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Delete a limit; the configuration's is in force again."""
    from spindle.cli import budgets

    budgets.delete_limit(sources_of(home, config), which)
