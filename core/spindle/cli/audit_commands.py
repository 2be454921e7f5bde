"""`spindle audit`: its commands and options."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from spindle.cli.options import HOME, AsJson, Config, Home, sources_of

app = typer.Typer(no_args_is_help=True, help="Read the audit log: who did what, and why not.")

Actor = Annotated[str | None, typer.Option(help="Only what this person did.")]
ActionName = Annotated[str | None, typer.Option(help="Only this action, or a family: users.*")]
TargetName = Annotated[str | None, typer.Option(help="Only what was done to this.")]
Decided = Annotated[
    Literal["allowed", "denied", "failed"] | None, typer.Option(help="Only what ended so.")
]
RequestId = Annotated[str | None, typer.Option(help="Only what this request did.")]
Since = Annotated[str | None, typer.Option(help="From then on: 7d (ago), 12h, or a date.")]
Until = Annotated[str | None, typer.Option(help="Before then: 7d (ago), 12h, or a date.")]


@app.command("list")
def list_entries(  # noqa: PLR0913 - one parameter per option
    actor: Actor = None,
    action: ActionName = None,
    target: TargetName = None,
    decision: Decided = None,
    request_id: RequestId = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 50,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """List the newest entries."""
    from spindle.cli import audit

    wish = audit.AuditWish(
        actor=actor,
        action=action,
        target=target,
        decision=decision,
        request_id=request_id,
        since=since,
        until=until,
    )
    audit.list_entries(sources_of(home, config), wish, limit=limit, as_json=as_json)


@app.command("export")
def export(  # noqa: PLR0913 - one parameter per option
    actor: Actor = None,
    action: ActionName = None,
    target: TargetName = None,
    decision: Decided = None,
    request_id: RequestId = None,
    since: Since = None,
    until: Until = None,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Print every entry, the newest first, a line of JSON each."""
    from spindle.cli import audit

    wish = audit.AuditWish(
        actor=actor,
        action=action,
        target=target,
        decision=decision,
        request_id=request_id,
        since=since,
        until=until,
    )
    audit.export(sources_of(home, config), wish)


@app.command("prune")
def prune(
    days: Annotated[
        int | None, typer.Option(help="Keep so many days; retention.audit_days if not said.", min=1)
    ] = None,
    rows: Annotated[
        int | None, typer.Option(help="Keep so many; retention.audit_rows if not said.", min=1)
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Delete old entries now; that it was done is an entry itself."""
    from spindle.cli import audit

    audit.prune(sources_of(home, config), days_kept=days, rows_kept=rows, as_json=as_json)
