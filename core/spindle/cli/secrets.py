"""`spindle secrets list | where | set | delete | rotate | new-key`, on the store directly."""

from __future__ import annotations

import getpass
import json
import sys
from typing import TYPE_CHECKING

from spindle import master_key
from spindle.administrator import local_context
from spindle.api.secrets import show
from spindle.audit import Audit, AuditEntry
from spindle.cli.failures import Failure, reported
from spindle.cli.stores import on_store
from spindle.cli.tables import print_table
from spindle.master_key import MasterKeys
from spindle.secret_inventory import SecretInfo, SecretInventory, check_deletable
from spindle.secrets import SecretStore
from spindle.vault import Vault
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.config import Settings
    from spindle.home import Sources
    from spindle.store import Store
    from spindle.store.audit import AuditRow
    from spindle_spi.records import CatalogRecord

_MAX_CHARACTERS = 65_537


def list_all(sources: Sources, *, as_json: bool) -> None:
    """List every secret with where it is found and who uses it; never a value."""
    with reported():
        found = _infos(sources)

    if as_json:
        print(json.dumps([show(info) for info in found]))
        return

    print_table(
        ("NAME", "STATE", "FOUND IN", "KEY", "USED BY"),
        [
            (
                info.name,
                info.state,
                "-" if info.found is None else f"{info.found.kind} ({info.found.where})",
                "-" if info.stored is None else info.stored.key_id,
                ", ".join(f"{each.kind.value} {each.name}" for each in info.used_by) or "-",
            )
            for info in found
        ],
    )


def where(sources: Sources, name: str, *, as_json: bool) -> None:
    """Show each place where a secret is looked for, in order, and which one gives it."""
    with reported():
        info = _named(_infos(sources), name)

    if as_json:
        print(json.dumps(show(info)))
        return

    print_table(
        ("PLACE", "WHERE", "VALUE"),
        [(place.kind, place.where, _value(info, place.kind)) for place in info.places],
    )


def put(sources: Sources, name: str, *, as_json: bool) -> None:
    """Store a value from standard input, or from a prompt on a terminal."""
    with reported():
        value = _read_value(name)

        async def work(store: Store, settings: Settings) -> SecretInfo:
            vault = await _vault(store, settings)
            rows = _entry(store, "secrets.update", name)
            by = local_context().subject.user_email or ""
            await vault.put(name, value, by=by, audit=rows)
            return _named(await _inventory(store, settings, sources, vault), name)

        info = on_store(sources, work)

    if as_json:
        print(json.dumps(show(info)))
        return

    print(f"{name} is stored; a running gateway has it within a second.")

    if info.found is not None and info.found.kind != "database":
        sys.stderr.write(f"The {info.found.kind} ({info.found.where}) goes before it.\n")


def delete(sources: Sources, name: str) -> None:
    """Forget a stored secret that no record refers to."""

    async def work(store: Store, settings: Settings) -> None:
        vault = await _vault(store, settings)
        info = _named(await _inventory(store, settings, sources, vault), name)

        if info.stored is not None:
            check_deletable(info, info.used_by)

        await vault.delete(name, audit=_entry(store, "secrets.delete", name))

    with reported():
        on_store(sources, work)

    print(f"{name} is deleted.")


def rotate(sources: Sources, *, as_json: bool) -> None:
    """Encrypt every stored secret with the first of the keys, all or none."""

    async def work(store: Store, settings: Settings) -> int:
        vault = await _vault(store, settings)
        return await vault.rotate(audit=_entry(store, "secrets.rotate", "*"))

    with reported():
        number = on_store(sources, work)

    if as_json:
        print(json.dumps({"rotated": number}))
        return

    print(f"{number} stored secrets are encrypted with the first key; the others can go.")


def new_key() -> None:
    """Print a fresh key for `SPINDLE_SECRET_KEY` or the key file."""
    print(master_key.new_key().reveal())


def _infos(sources: Sources) -> tuple[SecretInfo, ...]:
    async def work(store: Store, settings: Settings) -> tuple[SecretInfo, ...]:
        return await _inventory(store, settings, sources, await _vault(store, settings))

    return on_store(sources, work)


async def _vault(store: Store, settings: Settings) -> Vault:
    vault = Vault(store, MasterKeys.of(settings))
    (await vault.read())()
    return vault


async def _inventory(
    store: Store, settings: Settings, sources: Sources, vault: Vault
) -> tuple[SecretInfo, ...]:
    secrets = SecretStore(settings.secret_sources, sources.environ, vault=vault.reveal)
    stored: Sequence[CatalogRecord] = await store.catalog.all()
    # A gateway that never ran has not put what is declared into the database.
    known = {(record.kind, record.name): record for record in (*stored, *settings.declared)}
    return await SecretInventory(store, secrets, vault).all(known.values())


def _entry(store: Store, action: str, name: str) -> list[AuditRow]:
    entry = AuditEntry(action=action, target=name, target_kind="secret")
    return [Audit(store).row(local_context(), entry)]


def _named(infos: Sequence[SecretInfo], name: str) -> SecretInfo:
    for info in infos:
        if info.name == name:
            return info

    raise Failure(f"There is no secret {name!r}; see `spindle secrets list`.")


def _read_value(name: str) -> Secret:
    """Return what is typed or piped in. Never an argument: those are everybody's to see."""
    if _is_terminal():
        return Secret(getpass.getpass(f"Value of {name} (not shown): "))

    value = sys.stdin.read(_MAX_CHARACTERS).rstrip("\r\n")

    if not value:
        raise Failure(
            f"There is no value on standard input: `spindle secrets set {name} < FILE`, or run "
            "it on a terminal to be asked."
        )

    return Secret(value)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _value(info: SecretInfo, kind: str) -> str:
    if info.found is not None and info.found.kind == kind:
        return "used"

    if kind == "database" and info.state == "locked":
        return "no key opens it"

    return "set, not used" if any(p.has_value for p in info.places if p.kind == kind) else "none"
