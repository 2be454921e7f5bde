"""`spindle doctor`: looks at the set-up, and says what to do about what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import anyio
import httpx2
import typer
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from spindle.cli.tables import print_table
from spindle.gateway import make_plan
from spindle.home import ADMIN_TOKEN_FILE, find_running
from spindle.loader import ModulesRejected
from spindle.master_key import MasterKeys
from spindle.server import PortTaken, bind
from spindle.store import Store
from spindle.store.database import Database
from spindle.store.schema import HEAD, stamped_version
from spindle.tokens import hash_token
from spindle_spi.errors import ConfigError, GatewayError
from spindle_spi.records import ProviderSpec

if TYPE_CHECKING:
    from spindle.config import Settings
    from spindle.home import Sources

State = Literal["ok", "note", "fault"]

_LEAST_BYTES: Final = 256 * 1024 * 1024
_FIRST_YEAR: Final = 1_700_000_000
"""A clock before this (2023) was never set: every certificate and token would be of the future."""
_CONNECT_SECONDS: Final = 3.0
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_PORTS: Final = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379, "nats": 4222, "tls": 4222}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one look found."""

    check: str
    state: State
    said: str
    """What is, and what to do when it is wrong."""


def doctor(sources: Sources, *, probe: bool, as_json: bool) -> None:
    """Print every finding; exit code 1 when one is a fault."""
    findings = anyio.run(_examine, sources, probe)
    is_well = all(finding.state != "fault" for finding in findings)

    if as_json:
        print(json.dumps({"ok": is_well, "findings": [asdict(each) for each in findings]}))
    else:
        print_table(
            ("", "CHECK", "WHAT WAS FOUND"),
            [(each.state, each.check, each.said) for each in findings],
        )

    if not is_well:
        raise typer.Exit(1)


async def _examine(sources: Sources, probe: bool) -> list[Finding]:
    findings = [*_check_home(sources.home), *_check_clock()]

    try:
        plan = make_plan(sources)
    except (ConfigError, ModulesRejected) as exc:
        return findings + [_fault("configuration", fault) for fault in exc.faults]

    settings = plan.settings
    files = ", ".join(str(path) for path in settings.paths) or "no file, the defaults"
    modules = ", ".join(module.id for module in plan.modules) or "none"
    findings += [_ok("configuration", files), _ok("modules", modules)]
    findings += [Finding(check="configuration", state="note", said=w) for w in settings.warnings]
    findings += _check_keys(settings)
    findings += [finding async for finding in _check_store(settings)]
    findings += [finding async for finding in _check_port(settings)]
    findings += [finding async for finding in _check_others(settings, probe=probe)]
    return findings


def _check_home(home: Path) -> Iterator[Finding]:
    if not home.exists():
        yield _note("home", f"{home} is not there; the first start makes it")
        return

    mode = stat.S_IMODE(home.stat().st_mode)

    if not _is_usable(home):
        yield _fault("home", f"{home} cannot be written: give it to the user of the gateway")
    elif mode & 0o077:
        yield _note("home", f"{home} is open to others (mode {mode:04o}): chmod 700 {home}")
    else:
        yield _ok("home", str(home))

    token = home / ADMIN_TOKEN_FILE

    if token.exists() and stat.S_IMODE(token.stat().st_mode) & 0o077:
        yield _fault("administrator", f"others may read {token}: chmod 600 {token}, and rotate it")

    free = shutil.disk_usage(home).free
    said = f"{free // 1024**2} MiB free under {home}"
    yield _ok("disk", said) if free >= _LEAST_BYTES else _fault("disk", f"{said}: make room")


def _is_usable(home: Path) -> bool:
    return os.access(home, os.R_OK | os.W_OK | os.X_OK)


def _check_clock() -> Iterator[Finding]:
    now = time.time()
    said = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    yield (
        _ok("clock", said)
        if now > _FIRST_YEAR
        else _fault("clock", f"it says {said}: set it, or tokens do not hold")
    )


def _check_keys(settings: Settings) -> Iterator[Finding]:
    try:
        count = len(MasterKeys.of(settings).read())
    except GatewayError as exc:
        yield _fault("key", exc.message)
        return

    said = f"{count} for stored secrets" if count else "none yet; the first stored secret makes one"
    yield _ok("key", said)


def _is_fresh(store_url: str) -> bool:
    """Tell whether there is no file yet."""
    return store_url.startswith("sqlite") and not Path(store_url.partition(":///")[2]).exists()


async def _check_store(settings: Settings) -> AsyncIterator[Finding]:
    engine = settings.store_url.partition("+")[0]

    if _is_fresh(settings.store_url):
        yield _note("store", "there is no database yet; the first start makes it")
        return

    # Not `Store.open`, which would make or change what is only looked at here.
    store = Store(Database(make_url(settings.store_url)))

    try:
        async with store.database.reading() as connection:
            found = await connection.run_sync(stamped_version)

        if found != HEAD:
            is_there = "no schema yet" if found is None else f"schema {found}"
            yield _note("store", f"{engine}, {is_there}; the next start brings it to {HEAD}")
            return

        yield _ok("store", f"{engine}, schema {HEAD}, revision {await store.revision()}")
        yield await _check_administrator(store, settings)
    except (SQLAlchemyError, GatewayError) as exc:
        reason = exc.__cause__ or exc
        shown = make_url(settings.store_url).render_as_string(hide_password=True)
        yield _fault("store", f"{shown} cannot be used: {getattr(reason, 'orig', None) or reason}")
    finally:
        await store.close()


async def _check_administrator(store: Store, settings: Settings) -> Finding:
    path = settings.home / ADMIN_TOKEN_FILE

    if not path.exists():
        return _note("administrator", f"there is no {path} yet; the first start makes it")

    wanted = hash_token(path.read_text().strip())
    row = next((row for row in await store.tokens.all() if row.hash == wanted), None)

    if row is None or row.revoked_at is not None:
        return _note("administrator", f"the token in {path} does not hold; a start makes it good")

    return _ok("administrator", f"the token in {path} holds")


async def _check_port(settings: Settings) -> AsyncIterator[Finding]:
    running = find_running(settings.home)

    if running is not None:
        yield await _ask_ready(running)
        return

    server = settings.server

    try:
        bind(server.host, server.port).close()
    except PortTaken as exc:
        yield _fault("port", str(exc))
    else:
        yield _ok("port", f"{server.host}:{server.port} is free, and no gateway runs")


async def _ask_ready(url: str) -> Finding:
    try:
        async with httpx2.AsyncClient(trust_env=False, timeout=_CONNECT_SECONDS) as client:
            answer = await client.get(f"{url}/ready")
    except httpx2.HTTPError as exc:
        return _fault("gateway", f"{url} does not answer ({type(exc).__name__}): restart it")

    said = f"{url} says {answer.text}"
    is_well = answer.status_code == 200 and answer.json().get("store") == "ready"
    return _ok("gateway", said) if is_well else _fault("gateway", said)


async def _check_others(settings: Settings, *, probe: bool) -> AsyncIterator[Finding]:
    if settings.limits.backend == "redis":
        yield await _reach("redis", settings.limits.redis_url)

    if settings.events.backend == "nats":
        yield await _reach("nats", settings.events.nats_url)

    for record in settings.declared:
        if not isinstance(record.spec, ProviderSpec):
            continue

        for url in record.spec.urls:
            if probe or urlsplit(url).hostname in _LOOPBACK:
                yield await _reach(f"provider {record.name}", url)
            else:
                yield _note(f"provider {record.name}", f"{url} not asked; --probe connects to it")


async def _reach(check: str, url: str) -> Finding:
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)

    # A socket in the file system has no host; a password may stand in the URL.
    if host is None or port is None:
        return _note(check, "no address to connect to; not asked")

    try:
        with anyio.fail_after(_CONNECT_SECONDS):
            await (await anyio.connect_tcp(host, port)).aclose()
    except OSError as exc:
        return _fault(check, f"{host}:{port} cannot be reached: {str(exc) or 'no answer in time'}")

    return _ok(check, f"{host}:{port} answers")


def _finding(state: State) -> Callable[[str, str], Finding]:
    return lambda check, said: Finding(check=check, state=state, said=said)


_ok, _note, _fault = _finding("ok"), _finding("note"), _finding("fault")
