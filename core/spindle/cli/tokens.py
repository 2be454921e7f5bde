"""`spindle token`: on the store directly, no gateway needs to run."""

from __future__ import annotations

import ipaddress
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle.administrator import local_context, recover_administrator
from spindle.audit import Audit, AuditEntry
from spindle.cli.failures import Failure, reported
from spindle.cli.stores import on_store
from spindle.cli.tables import print_table
from spindle.cli.times import hours_of, moment_of
from spindle.directory import Directory
from spindle.directory.shown import moment, shown_token
from spindle.directory.tokens import TokenWish
from spindle.people import compile_people
from spindle_spi.policy import granted
from spindle_spi.records import CatalogRecord, ServerSpec

if TYPE_CHECKING:
    from spindle.administrator import Administrator
    from spindle.config import Settings
    from spindle.home import Sources
    from spindle.store import Store, TokenRow
    from spindle_spi.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOptions:
    """What a new token is to be, as it was typed."""

    name: str
    role: str | None
    teams: Sequence[str]
    permissions: Sequence[str]
    user: str | None = None
    expires: str | None = None
    is_admin: bool = False
    server: str | None = None
    addresses: Sequence[str] = ()
    hours: Sequence[str] = ()


def create(sources: Sources, options: TokenOptions, *, as_json: bool) -> None:
    """Mint a token and print it: the only time that it can be seen."""
    with reported():
        text, row = on_store(sources, lambda store, settings: _create(store, settings, options))

    _print_once(text, row, as_json=as_json)


def list_all(sources: Sources, *, as_json: bool) -> None:
    """List every token; never its text."""
    with reported():
        rows = on_store(sources, lambda store, _: store.tokens.all())

    if as_json:
        print(json.dumps([shown_token(row) for row in rows]))
        return

    print_table(
        ("ID", "NAME", "STARTS WITH", "USER", "ROLE", "TEAMS", "SERVER", "LAST USED", "STATE"),
        [
            (
                row.id,
                row.name,
                row.prefix,
                row.user_email or "-",
                row.role or "-",
                _teams(row),
                row.server_id or "-",
                moment(row.last_used_at) or "-",
                _state(row),
            )
            for row in rows
        ],
    )


def show(sources: Sources, name: str, *, as_json: bool) -> None:
    """Show one token; never its text."""
    with reported():
        row = on_store(sources, lambda store, _: _find(store, name))

    if as_json:
        print(json.dumps(shown_token(row)))
        return

    shown = shown_token(row)
    print_table(("WHAT", "VALUE"), [(key, _cell(value)) for key, value in shown.items()])


def revoke(sources: Sources, name: str, *, as_json: bool) -> None:
    """Revoke a token for good, by its id or what it starts with."""
    with reported():
        row = on_store(sources, lambda store, _: _revoke(store, name))

    if as_json:
        print(json.dumps(shown_token(row)))
        return

    print(f"{row.name} ({row.id}) is revoked; a running gateway refuses it within a second.")


def rotate(sources: Sources, name: str, *, as_json: bool) -> None:
    """Give a token a new text and print it; the old one ends."""
    with reported():
        text, row = on_store(sources, lambda store, _: _rotate(store, name))

    _print_once(text, row, as_json=as_json)


def recover(sources: Sources, *, as_json: bool) -> None:
    """Mint a new administrator's token into the home directory."""
    with reported():
        made = on_store(sources, lambda store, settings: _recover(store, settings))

    if as_json:
        print(json.dumps({"path": str(made.path), "prefix": made.token.reveal()[:12]}))
        return

    print(f"A new administrator token is in {made.path}; a running gateway takes it at once.")
    print("Revoke what was lost: `spindle token list`, then `spindle token revoke ID`.")


async def _create(store: Store, settings: Settings, options: TokenOptions) -> tuple[str, TokenRow]:
    await _check(store, options)
    is_scoped = bool(options.teams) or not options.is_admin
    is_users = options.user is not None and await store.users.get(options.user.lower())
    server = options.server
    wish = TokenWish(
        name=options.name,
        user=options.user,
        unowned=options.user is None,
        is_any_user=True,
        role=options.role,
        is_admin=options.is_admin,
        teams=tuple(options.teams) if options.teams or (is_scoped and not is_users) else None,
        permissions=tuple(options.permissions) or None,
        server_id=None if server is None else await _server_id(store, settings, server),
        ip_restrictions=tuple(options.addresses),
        time_restrictions=tuple(window for each in options.hours for window in hours_of(each)),
        expires_at=None if options.expires is None else moment_of(options.expires),
    )
    text, row = await _directory(store).tokens.create(local_context(), wish)
    return text.reveal(), row


async def _check(store: Store, options: TokenOptions) -> None:
    roles = compile_people(await store.users.everybody()).roles
    role = options.role

    if role is not None and role not in roles:
        raise Failure(f"There is no role {role!r}; the roles are: {', '.join(sorted(roles))}.")

    held = ("*",) if role is None else roles[role]
    lacking = [wanted for wanted in options.permissions if not granted(held, wanted)]

    if lacking:
        raise Failure(f"The role {role} does not have: {', '.join(lacking)}.")

    for text in options.addresses:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError as exc:
            raise Failure(
                f"{text!r} is no range of addresses: write 10.0.0.0/8 or 192.0.2.7."
            ) from exc


async def _server_id(store: Store, settings: Settings, slug: str) -> str:
    records: list[CatalogRecord] = [*settings.declared, *await store.catalog.all()]

    for record in records:
        if isinstance(record.spec, ServerSpec) and record.spec.slug == slug:
            return record.id

    raise Failure(f"There is no virtual server {slug!r}.")


async def _find(store: Store, name: str) -> TokenRow:
    row = await store.tokens.get(name)

    if row is None:
        raise Failure(f"There is no single token {name!r}; see `spindle token list`.")

    return row


async def _revoke(store: Store, name: str) -> TokenRow:
    row = await _find(store, name)

    if row.revoked_at is not None:
        raise Failure(f"The token {row.name} ({row.id}) was revoked before.")

    # A stolen last token must go, too: who is at this machine can mint another one.
    desk = _directory(store).tokens
    await desk.revoke(local_context(), row, keeps_administrator=False)
    return await _find(store, row.id)


async def _rotate(store: Store, name: str) -> tuple[str, TokenRow]:
    row = await _find(store, name)
    text, after = await _directory(store).tokens.rotate(local_context(), row)
    return text.reveal(), after


async def _recover(store: Store, settings: Settings) -> Administrator:
    made = await recover_administrator(store, settings.home)
    entry = AuditEntry(action="tokens.recover", target=made.token.reveal()[:12])
    await Audit(store).record(local_context(), entry)
    return made


def _directory(store: Store) -> Directory:
    return Directory(store, Audit(store))


def _print_once(text: str, row: TokenRow, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"token": text, **shown_token(row)}))
        return

    whose = f"of {row.user_email}" if row.user_email else f"role {row.role or '-'}"
    sys.stderr.write(f"{row.name} ({row.id}), {whose}, sees: {_teams(row)}. Shown only now:\n")
    print(text)


def _teams(row: TokenRow) -> str:
    if row.teams is None:
        return "everything" if row.is_admin else "all of the user's teams"

    return ", ".join(row.teams) or "public records only"


def _state(row: TokenRow) -> str:
    if row.revoked_at is not None:
        return "revoked"

    if row.expires_at is not None and row.expires_at <= time.time():
        return "expired"

    return "valid" if row.expires_at is None else f"valid until {moment(row.expires_at)}"


def _cell(value: Json) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"

    return "-" if value in (None, "") else str(value)
