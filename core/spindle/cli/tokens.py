"""`spindle token create | list | revoke`, on the store directly: no gateway needs to run."""

from __future__ import annotations

import ipaddress
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import anyio

from spindle.cli.failures import Failure, reported
from spindle.cli.tables import print_table
from spindle.config import Settings, load_settings
from spindle.loader import GROUP
from spindle.store import Store, TokenRow
from spindle.tokens import mint
from spindle_spi.policy import ROLES, granted, narrow
from spindle_spi.records import CatalogRecord, ServerSpec

if TYPE_CHECKING:
    from spindle.gateway import Sources

T = TypeVar("T")

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWish:
    """What a new token is to be."""

    name: str
    role: str | None
    teams: Sequence[str]
    permissions: Sequence[str]
    user: str | None = None
    expires: str | None = None
    is_admin: bool = False
    server: str | None = None
    addresses: Sequence[str] = ()


def create(sources: Sources, wish: TokenWish, *, as_json: bool) -> None:
    """Mint a token and print it: the only time that it can be seen."""
    with reported():
        text, row = _with_store(sources, lambda store, settings: _create(store, settings, wish))

    if as_json:
        print(json.dumps({"token": text, **_shown(row)}))
        return

    teams = "everything" if row.teams is None else ", ".join(row.teams) or "public records only"
    sys.stderr.write(f"{row.name} ({row.id}), role {row.role}, sees: {teams}. Shown only now:\n")
    print(text)


def list_all(sources: Sources, *, as_json: bool) -> None:
    """List every token; never its text."""
    with reported():
        rows = _with_store(sources, lambda store, _: store.tokens.all())

    if as_json:
        print(json.dumps([_shown(row) for row in rows]))
        return

    print_table(
        ("ID", "NAME", "STARTS WITH", "ROLE", "TEAMS", "SERVER", "STATE"),
        [
            (
                row.id,
                row.name,
                row.prefix,
                row.role,
                "all" if row.teams is None else ", ".join(row.teams) or "-",
                row.server_id or "-",
                _state(row),
            )
            for row in rows
        ],
    )


def revoke(sources: Sources, name: str) -> None:
    """Revoke a token for good, by its id or what it starts with."""
    with reported():
        row = _with_store(sources, lambda store, _: _revoke(store, name))

    print(f"{row.name} ({row.id}) is revoked; a running gateway refuses it within a second.")


async def _create(store: Store, settings: Settings, wish: TokenWish) -> tuple[str, TokenRow]:
    role = wish.role or ("platform_admin" if wish.is_admin else "developer")

    if role not in ROLES:
        raise Failure(f"There is no role {role!r}; the roles are: {', '.join(sorted(ROLES))}.")

    lacking = [wanted for wanted in wish.permissions if not granted(ROLES[role], wanted)]

    if lacking:
        raise Failure(f"The role {role} does not have: {', '.join(lacking)}.")

    token, prefix, digest = mint()
    row = TokenRow(
        id=uuid4().hex,
        name=wish.name,
        prefix=prefix,
        hash=digest,
        created_at=time.time(),
        user_email=wish.user,
        is_admin=wish.is_admin,
        teams=None if wish.is_admin and not wish.teams else tuple(dict.fromkeys(wish.teams)),
        permissions=narrow(ROLES[role], wish.permissions or None),
        role=role,
        server_id=None if wish.server is None else await _server_id(store, settings, wish.server),
        ip_restrictions=_ranges(wish.addresses),
        expires_at=None if wish.expires is None else _moment(wish.expires),
    )
    await store.tokens.create(row)
    return token.reveal(), row


async def _server_id(store: Store, settings: Settings, slug: str) -> str:
    records: list[CatalogRecord] = [*settings.declared, *await store.catalog.all()]

    for record in records:
        if isinstance(record.spec, ServerSpec) and record.spec.slug == slug:
            return record.id

    raise Failure(f"There is no virtual server {slug!r}.")


async def _revoke(store: Store, name: str) -> TokenRow:
    row = await store.tokens.get(name)

    if row is None:
        raise Failure(f"There is no single token {name!r}; see `spindle token list`.")

    if not await store.tokens.revoke(row.id):
        raise Failure(f"The token {row.name} ({row.id}) was revoked before.")

    return row


def _with_store(sources: Sources, work: Callable[[Store, Settings], Awaitable[T]]) -> T:
    """Run work on the store. Modules are not imported: their sections are taken as they are."""
    settings = load_settings(
        sources.config,
        home=sources.home,
        environ=sources.environ,
        overrides=sources.overrides,
        schemas={entry.name: {} for entry in entry_points(group=GROUP)},
    )

    async def run() -> T:
        store = await Store.open(settings.store_url)

        try:
            return await work(store, settings)
        finally:
            await store.close()

    return anyio.run(run)


def _moment(text: str) -> float:
    """Return the moment of `30d`, `12h` or an ISO date, as seconds since the epoch."""
    match = re.fullmatch(r"(\d+)([mhdw])", text)

    if match is not None:
        return time.time() + int(match.group(1)) * _UNITS[match.group(2)]

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise Failure(f"{text!r} is no time: write 30d, 12h, or a date like 2030-01-31.") from exc

    zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

    if zoned.timestamp() <= time.time():
        raise Failure(f"{text} is in the past.")

    return zoned.timestamp()


def _ranges(texts: Sequence[str]) -> tuple[str, ...]:
    for text in texts:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError as exc:
            raise Failure(
                f"{text!r} is no range of addresses: write 10.0.0.0/8 or 192.0.2.7."
            ) from exc

    return tuple(texts)


def _state(row: TokenRow) -> str:
    if row.revoked_at is not None:
        return "revoked"

    if row.expires_at is not None and row.expires_at <= time.time():
        return "expired"

    return "valid" if row.expires_at is None else f"valid until {_iso(row.expires_at)}"


def _shown(row: TokenRow) -> dict[str, object]:
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "role": row.role,
        "user": row.user_email,
        "admin": row.is_admin,
        "teams": None if row.teams is None else list(row.teams),
        "permissions": list(row.permissions),
        "server_id": row.server_id,
        "addresses": list(row.ip_restrictions),
        "created_at": _iso(row.created_at),
        "expires_at": None if row.expires_at is None else _iso(row.expires_at),
        "revoked_at": None if row.revoked_at is None else _iso(row.revoked_at),
    }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
