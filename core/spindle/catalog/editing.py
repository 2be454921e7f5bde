"""The one way to change the catalog by hand: the API, the commands and bundles all take it.

What is decided is in `draft`; here it is carried out: secrets are put aside and addresses
judged first, then the decision is taken again on what is stored, in the transaction that writes it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING

import anyio

from spindle.audit import Audit, AuditEntry
from spindle.authority import actor_of
from spindle.catalog.access import is_platform, manageable, readable
from spindle.catalog.auth import values_in
from spindle.catalog.bodies import SECRETS
from spindle.catalog.draft import API, CONFIG, EPHEMERAL, Change, Draft, Expected, Surroundings
from spindle.catalog.kinds import KINDS
from spindle.catalog.shown import audited
from spindle.egress import safe_address
from spindle.gateway_addresses import urls_of
from spindle.master_key import MasterKeys
from spindle.programs import Programs
from spindle.snapshots import Snapshots
from spindle.vault import Vault
from spindle_spi.errors import FailedPrecondition, InvalidArgument, NotFound
from spindle_spi.policy import Action, absent, allow
from spindle_spi.records import (
    CatalogRecord,
    Kind,
    Target,
    other_names,
)
from spindle_spi.secret import Secret, SecretRef
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence

    from spindle.config import Settings
    from spindle.store import Store
    from spindle.store.catalog import Amendment, Authorship, Contents
    from spindle_spi.context import AuthenticatedContext

_PREFIX = "catalog."
"""Names of secrets that this put aside begin with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One change as it is asked for."""

    action: Action
    """CREATE, UPDATE or DELETE."""
    kind: Kind
    name: str = ""
    """Id or name; not of a new record."""
    data: JsonObject = field(default_factory=dict[str, Json])
    """A whole body, or what changes in it."""
    expected: Expected = None
    """Epochs the record may have; None takes any."""


class CatalogEditor:
    """Reads and changes records as one caller may. `data` is plain JSON, see `bodies`."""

    def __init__(
        self,
        *,
        store: Store,
        snapshots: Snapshots,
        vault: Vault,
        audit: Audit,
        settings: Settings,
        is_local: bool = False,
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._vault = vault
        self._audit = audit
        self._settings = settings
        self._is_local = is_local
        self.programs = Programs(settings.programs)
        """Which gateways may be programs."""

    def configure(self, settings: Settings) -> None:
        """Decide by other settings from now on."""
        self._settings = settings
        self.programs.configure(settings.programs)

    def records(
        self, context: AuthenticatedContext, kind: Kind, permission: str | None = None
    ) -> list[CatalogRecord]:
        """Return what a caller sees and may read of a kind, by name.

        `permission` is what reading needs, by default that of governing the kind.

        Raises:
            PermissionDenied: The caller may read none of it.
        """
        needed = permission or KINDS[kind].permission(Action.READ)
        allow(context, needed)
        found = self._snapshots.current.by_kind[kind]
        return [r for r in found if _is_governed(r) and readable(context, r, needed)]

    def get(
        self,
        context: AuthenticatedContext,
        kind: Kind,
        name: str,
        permission: str | None = None,
    ) -> CatalogRecord:
        """Return a record by id, name, or another of its names.

        Raises:
            NotFound: Absent, or hidden from this caller: the answer is the same.
            PermissionDenied: It may not be read.
        """
        record = self._find(context, kind, name)
        allow(context, permission or KINDS[kind].permission(Action.READ), record)
        return record

    def epoch(self, record: CatalogRecord) -> int:
        """Return what a change of a record has to expect: see `Edit.expected`."""
        if record.origin in (API, CONFIG):
            return record.epoch

        return self._snapshots.overrides.epoch(record)

    def authorship(self, record: CatalogRecord) -> Authorship:
        """Return who made a record and who changed it last."""
        return self._snapshots.authors.of(record)

    async def create(
        self, context: AuthenticatedContext, kind: Kind, data: JsonObject
    ) -> CatalogRecord:
        """Make a record; see `Draft.create` for what is refused."""
        return (await self._one(context, Edit(action=Action.CREATE, kind=kind, data=data))).record

    async def update(
        self,
        context: AuthenticatedContext,
        kind: Kind,
        name: str,
        changes: JsonObject,
        expected: Expected = None,
    ) -> CatalogRecord:
        """Merge changes into a record; see `Draft.update` for what is refused."""
        edit = Edit(action=Action.UPDATE, kind=kind, name=name, data=changes, expected=expected)
        return (await self._one(context, edit)).record

    async def delete(
        self, context: AuthenticatedContext, kind: Kind, name: str, expected: Expected = None
    ) -> CatalogRecord:
        """Delete a record, and return it; see `Draft.delete` for what is refused."""
        edit = Edit(action=Action.DELETE, kind=kind, name=name, expected=expected)
        return (await self._one(context, edit)).record

    async def contents(self) -> Contents:
        """Return what is stored, as one moment."""
        return await self._store.catalog.contents()

    def draft(self, context: AuthenticatedContext, contents: Contents) -> Draft:
        """Return a draft of a caller's changes to contents; nothing of it is written."""
        return Draft(context, contents, self._around())

    def plan(
        self, context: AuthenticatedContext, edits: Sequence[Edit], contents: Contents
    ) -> list[Change]:
        """Return what edits would do to contents; nothing is written.

        Raises:
            GatewayError: One of them would be refused.
        """
        return _drafted(context, edits, contents, self._around()).changes

    async def apply(
        self,
        context: AuthenticatedContext,
        edits: Sequence[Edit],
        finish: Callable[[Draft], None] | None = None,
    ) -> list[Change]:
        """Carry out edits in their order, all or none; they are in force when this returns.

        `finish` may add to what is written when every edit is decided.

        Raises:
            GatewayError: One of them is refused: nothing is changed.
        """
        before = await self._store.catalog.contents()
        planned = _drafted(context, edits, before, self._around())
        pins = await self._judge(context, planned.changes)
        put = await self._put_secrets(edits)
        drafts: list[Draft] = []

        def decide(contents: Contents) -> Amendment:
            around = self._around(put=put, pins=pins)
            draft = _drafted(context, edits, contents, around)
            drafts[:] = [draft]
            self._check_judged(planned.changes, draft.changes)
            draft.amendment.by = actor_of(context)
            draft.amendment.audit = [
                self._audit.row(context, _entry(change)) for change in draft.changes
            ]

            if finish is not None:
                finish(draft)

            return draft.amendment

        try:
            await self._store.catalog.amend(decide)
        except BaseException:
            await self._drop(put.values())
            raise

        await self._drop(drafts[0].unneeded())
        await self._snapshots.refresh()
        current = self._snapshots.current.by_id
        return [
            Change(
                action=change.action,
                before=change.before,
                after=None if change.after is None else current.get(change.after.id, change.after),
            )
            for change in drafts[0].changes
        ]

    async def _one(self, context: AuthenticatedContext, edit: Edit) -> Change:
        (change,) = await self.apply(context, [edit])
        return change

    def _find(self, context: AuthenticatedContext, kind: Kind, name: str) -> CatalogRecord:
        snapshot = self._snapshots.current
        by_id = snapshot.by_id.get(name)

        if by_id is not None and by_id.kind is kind and _is_known(context, by_id):
            return by_id

        by_name = snapshot.by_name.get((kind, name))

        if by_name is not None and _is_known(context, by_name):
            return by_name

        for record in snapshot.by_kind[kind]:
            if name in other_names(record.spec) and _is_known(context, record):
                return record

        raise absent(Target(kind=kind, name=name))

    def _around(
        self,
        *,
        put: Mapping[str, SecretRef] | None = None,
        pins: Mapping[str, str] | None = None,
    ) -> Surroundings:
        given = {API, CONFIG, EPHEMERAL}
        records = self._snapshots.current.by_id.values()
        return Surroundings(
            published=tuple(r for r in records if r.origin not in given and r.kind in KINDS),
            configured=self._settings.tool_overrides,
            programs=self._settings.programs,
            is_production=self._settings.environment == "production",
            secrets={} if put is None else put,
            pins={} if pins is None else pins,
        )

    async def _judge(
        self, context: AuthenticatedContext, changes: Iterable[Change]
    ) -> Mapping[str, str]:
        """Ask the egress guard about every new address; return those to pin, by URL.

        Raises:
            InvalidArgument: An address is not allowed.
        """
        pins: dict[str, str] = {}

        # Who works on this machine is the operator, whom the guard obeys.
        if self._is_local:
            return pins

        for change, url in _new_urls(changes):
            address = await safe_address(url, self._settings.egress.allowed_hosts)

            # Whose word is not the platform's connects to what was judged, for good.
            if change.record.kind is Kind.GATEWAY and not is_platform(context):
                pins[url] = address

        return pins

    def _check_judged(self, judged: Iterable[Change], changes: Iterable[Change]) -> None:
        """Refuse an address that is new only since the others were judged.

        Raises:
            FailedPrecondition: A record was changed meanwhile.
        """
        known = {url for _, url in _new_urls(judged)}

        if not self._is_local and any(url not in known for _, url in _new_urls(changes)):
            raise FailedPrecondition(
                "It was changed by somebody else meanwhile: read it again, then repeat the change.",
                code="core.record.changed",
                http_status=412,
            )

    async def _put_secrets(self, edits: Iterable[Edit]) -> dict[str, SecretRef]:
        """Put every secret of the edits aside under a new name.

        A new name each time: when the change is refused, the secret in force is still the old one.
        """
        wanted: dict[str, str] = {}
        put: dict[str, SecretRef] = {}

        for edit in edits:
            for word in SECRETS & edit.data.keys():
                text = edit.data[word]

                if isinstance(text, str):
                    wanted.setdefault(text, f"{_PREFIX}{edit.kind.value}.{token_hex(12)}")

            for text in values_in(edit.data):
                wanted.setdefault(text, f"{_PREFIX}{edit.kind.value}.{token_hex(12)}")

        try:
            for text, name in wanted.items():
                put[text] = await self._vault.put(name, Secret(text))
        except BaseException:
            await self._drop(put.values())
            raise

        return put

    async def _drop(self, refs: Iterable[SecretRef]) -> None:
        with anyio.CancelScope(shield=True):
            for ref in refs:
                if ref.name.startswith(_PREFIX):
                    try:
                        await self._vault.delete(ref.name)
                    except NotFound:
                        # Somebody was quicker.
                        continue


@asynccontextmanager
async def open_editor(store: Store, settings: Settings) -> AsyncGenerator[CatalogEditor]:
    """Give an editor to a command on this machine, over the store alone.

    It knows no published records: those are in the processes that discovered them.
    """
    snapshots = Snapshots(
        store,
        overrides=settings.tool_overrides,
        poll_seconds=settings.store.revision_poll_seconds,
    )
    vault = Vault(store, MasterKeys.of(settings))
    snapshots.followers.append(vault)
    await snapshots.refresh()
    yield CatalogEditor(
        store=store,
        snapshots=snapshots,
        vault=vault,
        audit=Audit(store, settings.audit),
        settings=settings,
        is_local=True,
    )


def _drafted(
    context: AuthenticatedContext,
    edits: Sequence[Edit],
    contents: Contents,
    around: Surroundings,
) -> Draft:
    draft = Draft(context, contents, around)

    for edit in edits:
        match edit.action:
            case Action.CREATE:
                draft.create(edit.kind, edit.data)
            case Action.UPDATE:
                draft.update(edit.kind, edit.name, edit.data, edit.expected)
            case Action.DELETE:
                draft.delete(edit.kind, edit.name, edit.expected)
            case _:
                raise InvalidArgument(f"{edit.action.value} is no change.")

    return draft


def _entry(change: Change) -> AuditEntry:
    record = change.record
    return AuditEntry(
        action=KINDS[record.kind].permission(change.action),
        target=record.name,
        target_kind=record.kind.value,
        before=audited(change.before),
        after=audited(change.after),
    )


def _is_governed(record: CatalogRecord) -> bool:
    # What lives for one lease of one caller is nobody's to administer.
    return record.origin != EPHEMERAL


def _is_known(context: AuthenticatedContext, record: CatalogRecord) -> bool:
    return _is_governed(record) and manageable(context, record)


def _new_urls(changes: Iterable[Change]) -> Iterator[tuple[Change, str]]:
    for change in changes:
        after = () if change.after is None else urls_of(change.after.spec)
        known = () if change.before is None else urls_of(change.before.spec)

        for url in set(after) - set(known):
            yield change, url
