"""Changes of the catalog as decisions on what is stored: pure, so that a transaction can take them.

A draft starts from everything that is stored and takes one change after the other, each judged by
what the ones before made of it. What it raises, nobody has written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias
from uuid import uuid4

from spindle.catalog.access import (
    check_change,
    check_holding,
    default_holding,
    is_platform,
    manageable,
)
from spindle.catalog.auth import with_auth
from spindle.catalog.bodies import SECRETS, GatewayBody, Governance, merged, read_record
from spindle.catalog.kinds import KINDS, body_of, keep_secret, section_of
from spindle.catalog.overrides import configured_for, override_of, wanted_after
from spindle.catalog.references import (
    check_shape,
    check_words,
    referrers,
    resolved,
    still_needed,
    taken,
)
from spindle.config import ToolOverride
from spindle.config.programs import AllowedProgram
from spindle.gateway_addresses import pinned
from spindle.programs import check_program
from spindle.store.catalog import Amendment, Contents
from spindle_spi.errors import (
    Conflict,
    FailedPrecondition,
    InvalidArgument,
    Unsupported,
)
from spindle_spi.policy import Action, absent
from spindle_spi.records import (
    CatalogRecord,
    GatewaySpec,
    Kind,
    ModelSpec,
    ProviderSpec,
    RecordSpec,
    ServerSpec,
    Target,
    Visibility,
    is_shown_by,
    other_names,
    secrets_of,
    with_toolsets,
)
from spindle_spi.secret import SecretRef

if TYPE_CHECKING:
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import JsonObject

API = "api"
CONFIG = "config"
EPHEMERAL = "ephemeral"

Expected: TypeAlias = Collection[int] | None
"""Epochs the record may have; None takes any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a draft needs to know beside what is stored."""

    published: tuple[CatalogRecord, ...]
    """Records of upstreams, as this process has them."""
    configured: Mapping[tuple[str, str], ToolOverride]
    """What the configuration wants of upstream tools, by gateway and upstream name."""
    is_production: bool
    secrets: Mapping[str, SecretRef] = field(default_factory=dict[str, SecretRef])
    """References of secrets that were put aside, by their text."""
    programs: tuple[AllowedProgram, ...] = ()
    """Programs that may be made gateways."""
    pins: Mapping[str, str] = field(default_factory=dict[str, str])
    """Addresses to connect to, by URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One record before and after; None where there was none, or is none any more."""

    action: Action
    before: CatalogRecord | None
    after: CatalogRecord | None

    @property
    def record(self) -> CatalogRecord:
        """The record as it is, or was last."""
        record = self.after or self.before
        assert record is not None
        return record


class Draft:
    """Takes the changes of one caller."""

    def __init__(
        self, context: AuthenticatedContext, contents: Contents, around: Surroundings
    ) -> None:
        self._context = context
        self._around = around
        self._stored = {record.id: record for record in contents.records}
        self._overrides = {(row.kind, row.name): row for row in contents.overrides}
        names = {(record.kind, record.name) for record in contents.records}
        self._published = {
            record.id: record
            for record in around.published
            if record.id not in self._stored and (record.kind, record.name) not in names
        }
        self.amendment = Amendment()
        self.changes: list[Change] = []
        self._dropped: list[SecretRef] = []

    def unneeded(self) -> list[SecretRef]:
        """Return the secrets nobody refers to any more when this is written."""
        used = {ref for record in self._stored.values() for ref in secrets_of(record.spec)}
        return [ref for ref in self._dropped if ref not in used]

    def find(self, kind: Kind, name: str) -> CatalogRecord:
        """Return a record by id or name.

        Raises:
            NotFound: Absent, or hidden from this caller: the answer is the same.
        """
        by_id = self._stored.get(name) or self._published.get(name)

        if by_id is not None and by_id.kind is kind and self._knows(by_id):
            return by_id

        found = self.named(kind, name)

        if found is None:
            raise absent(Target(kind=kind, name=name))

        return found

    def named(self, kind: Kind, name: str) -> CatalogRecord | None:
        """Return a record by name, else by another of its names; None when absent or hidden."""
        known = [record for record in self._of(kind) if self._knows(record)]
        by_name = [record for record in known if record.name == name]
        found = by_name or [record for record in known if name in other_names(record.spec)]
        return found[0] if found else None

    def known(self, kind: Kind) -> tuple[CatalogRecord, ...]:
        """Return what this caller knows of a kind, by name."""
        return tuple(record for record in self._of(kind) if self._knows(record))

    def names(self, kind: Kind) -> tuple[str, ...]:
        """Return the names of what this caller knows of a kind."""
        return tuple(record.name for record in self.known(kind))

    def create(self, kind: Kind, data: JsonObject) -> CatalogRecord:
        """Add a record.

        Raises:
            InvalidArgument: The body is none, or names what is not there.
            PermissionDenied: Not this caller's to make, or not for those it would be for.
            Conflict: The name is not free.
        """
        rules = KINDS[kind]

        if rules.body is None:
            raise Unsupported(
                f"A {kind.value.replace('_', ' ')} is published by its gateway, not made here.",
                code="core.record.published_only",
            )

        body = read_record(rules.body, data)
        name, spec = self._read_spec(kind, body, data, None)
        record = self._governed(
            CatalogRecord(
                id=str(uuid4()), kind=kind, name=name, spec=spec, module=rules.module, origin=API
            ),
            self._with_defaults(body),
        )
        check_change(self._context, record, Action.CREATE)
        check_holding(self._context, None, record)
        check_program(self._context, None, spec, self._around.programs)
        check_shape(record)
        record = replace(record, spec=resolved(spec, None, self))
        check_shape(record)
        self._check_free(record)
        self._stored[record.id] = record
        self.amendment.records[record.id] = record
        self._forget_source(record)
        self.changes.append(Change(action=Action.CREATE, before=None, after=record))
        return record

    def update(
        self, kind: Kind, name: str, changes: JsonObject, expected: Expected = None
    ) -> CatalogRecord:
        """Merge changes into a record, or into what is wanted of a published one.

        Raises:
            NotFound: Absent or hidden.
            PermissionDenied: Not this caller's to change, or not in this way.
            Conflict: The configuration says it, or an upstream does.
            FailedPrecondition: It is not in the state the caller changed (412).
            InvalidArgument: It would be no such record, or name what is not there.
        """
        before = self.find(kind, name)
        check_change(self._context, before, Action.UPDATE)

        if before.id in self._published:
            after = self._override(before, changes, expected)
        else:
            _check_editable(before)
            _check_expected(before.epoch, expected)
            after = self._changed(before, changes)

        self.changes.append(Change(action=Action.UPDATE, before=before, after=after))
        return after

    def delete(self, kind: Kind, name: str, expected: Expected = None) -> CatalogRecord:
        """Delete a record; return it as it was.

        Raises:
            NotFound: Absent or hidden.
            PermissionDenied: Not this caller's to delete.
            Conflict: The configuration or an upstream says it, or others need it; names them.
            FailedPrecondition: It is not in the state the caller saw (412).
        """
        record = self.find(kind, name)
        check_change(self._context, record, Action.DELETE)

        if record.id in self._published:
            raise Conflict(
                f"{record.origin} gives the {kind.value} {record.name!r}: switch it off "
                "(enabled: false), or delete what gives it.",
                code="core.record.published",
            )

        _check_editable(record)
        _check_expected(record.epoch, expected)
        # What it publishes goes with it.
        needing = [
            other
            for other in referrers(record, self._stored.values())
            if other.kind is not record.kind or isinstance(other.spec, ModelSpec)
        ]

        if needing:
            shown = [other for other in needing if self._knows(other)]
            raise still_needed(record, shown, others=len(shown) < len(needing))

        del self._stored[record.id]
        self.amendment.records.pop(record.id, None)
        self.amendment.deleted.add(record.id)
        self._forget_source(record)
        self._dropped += secrets_of(record.spec)
        self.changes.append(Change(action=Action.DELETE, before=record, after=None))
        return record

    def _changed(self, before: CatalogRecord, changes: JsonObject) -> CatalogRecord:
        rules = KINDS[before.kind]
        data = body_of(before)
        assert rules.body is not None

        for key in rules.identity:
            if key in changes and changes[key] != data.get(key):
                raise InvalidArgument(
                    f"{key}: others know the record by it; make a new one instead.",
                    code="core.record.identity",
                )

        whole = merged(data, changes)
        body = read_record(rules.body, whole)
        _, spec = self._read_spec(before.kind, body, changes, before)
        record = self._governed(before, body)
        check_holding(self._context, before, replace(record, spec=spec))
        check_program(self._context, before.spec, spec, self._around.programs)
        record = replace(record, spec=resolved(spec, before.spec, self))
        check_shape(record)

        if other_names(record.spec) != other_names(before.spec):
            self._check_free(record)

        if record != before:
            self._stored[record.id] = record
            self.amendment.records[record.id] = record

            kept = secrets_of(record.spec)
            self._dropped += (ref for ref in secrets_of(before.spec) if ref not in kept)

        return record

    def _override(
        self, before: CatalogRecord, changes: JsonObject, expected: Expected
    ) -> CatalogRecord:
        key = (before.kind, before.name)
        row = self._overrides.get(key)

        if row is not None and row.source != before.origin:
            row = None

        _check_expected(0 if row is None else row.epoch, expected)
        after_row = wanted_after(before, row, changes, self._around.configured)
        after = override_of(after_row).apply(self._as_given(before))
        said = configured_for(before, self._around.configured)
        after = after if said is None else said.apply(after)
        check_holding(self._context, before, after)
        self._overrides[key] = after_row
        self._published[before.id] = after
        self.amendment.overrides[key] = after_row if after_row.wanted else None
        return after

    def _as_given(self, record: CatalogRecord) -> CatalogRecord:
        """Return a published record with the holder that its source gives it."""
        kind, _, name = record.origin.partition(":")
        found = [r for r in self._stored.values() if (r.kind.value, r.name) == (kind, name)]

        if not found:
            return replace(
                record, owner=None, team=None, visibility=Visibility.PRIVATE, enabled=True
            )

        source = found[0]
        return replace(
            record,
            owner=source.owner,
            team=source.team,
            visibility=source.visibility,
            enabled=source.enabled,
        )

    def _read_spec(
        self, kind: Kind, body: Governance, given: JsonObject, before: CatalogRecord | None
    ) -> tuple[str, RecordSpec]:
        rules = KINDS[kind]
        assert rules.to_spec is not None
        name, spec = rules.to_spec(body)
        old = None if before is None else before.spec

        if old is not None:
            spec = keep_secret(old, spec)

        if isinstance(spec, ModelSpec) and isinstance(old, ModelSpec):
            spec = replace(spec, created=old.created, state=old.state)

        for word in SECRETS & given.keys():
            text = given[word]
            ref = self._around.secrets.get(text) if isinstance(text, str) else None
            spec = _with_secret(spec, ref)

        if isinstance(spec, GatewaySpec) and isinstance(body, GatewayBody):
            known = old if isinstance(old, GatewaySpec) else None
            spec = with_auth(spec, body.auth, given, known, self._around.secrets)

        return name, pinned(spec, self._around.pins, old)

    def _governed(self, record: CatalogRecord, body: Governance) -> CatalogRecord:
        default = default_holding(self._context, is_production=self._around.is_production)
        return replace(
            record,
            description=body.description or "",
            owner=body.owner,
            team=body.team,
            visibility=body.visibility or default,
            enabled=True if body.enabled is None else body.enabled,
            tags=body.tags or (),
        )

    def _with_defaults(self, body: Governance) -> Governance:
        """Return the body of a new record with its holder: a caller's own, in their only team."""
        if is_platform(self._context):
            return body

        subject = self._context.subject
        teams = subject.token_teams or ()
        team = body.team or (teams[0] if len(teams) == 1 else None)
        return body.model_copy(update={"team": team, "owner": body.owner or subject.user_email})

    def _check_free(self, record: CatalogRecord) -> None:
        check_words(record, self._stored.values())

        for other in self._published.values():
            # People over discovery: but who takes a name from everybody answers for everybody.
            if (other.kind, other.name) == (record.kind, record.name) and not is_platform(
                self._context
            ):
                raise taken(record.kind, record.name)

    def _forget_source(self, record: CatalogRecord) -> None:
        # What was wanted of one upstream's records is not wanted of another's of that name.
        if isinstance(record.spec, ProviderSpec | GatewaySpec):
            self.amendment.forgotten_sources.add(f"{record.kind.value}:{record.name}")

    def _of(self, kind: Kind) -> list[CatalogRecord]:
        both = (*self._stored.values(), *self._published.values())
        return sorted((r for r in both if r.kind is kind), key=lambda record: record.name)

    def _knows(self, record: CatalogRecord) -> bool:
        return manageable(self._context, self._placed(record))

    def _placed(self, record: CatalogRecord) -> CatalogRecord:
        server_id = self._context.visibility_scope.server_id
        server = None if server_id is None else self._stored.get(server_id)

        if server is None or not isinstance(server.spec, ServerSpec):
            return replace(record, server_ids=())

        toolsets = {one.name: one for one in self._stored.values() if one.kind is Kind.TOOLSET}
        shown = with_toolsets(server.spec, toolsets)
        ids = (server.id,) if is_shown_by(shown, record) else ()
        return replace(record, server_ids=ids)


def _check_editable(record: CatalogRecord) -> None:
    if record.origin == CONFIG:
        raise Conflict(
            f"The {record.kind.value} {record.name!r} is declared in the configuration "
            f"({section_of(record)}): change it there.",
            code="core.record.configured",
        )

    if record.origin != API:
        raise Conflict(
            f"The {record.kind.value} {record.name!r} is {record.origin}'s.",
            code="core.record.published",
        )


def _check_expected(epoch: int, expected: Expected) -> None:
    if expected is not None and epoch not in expected:
        raise FailedPrecondition(
            "It was changed since it was read: read it again, then repeat the change.",
            code="core.record.changed",
            http_status=412,
        )


def _with_secret(spec: RecordSpec, ref: SecretRef | None) -> RecordSpec:
    if isinstance(spec, ProviderSpec):
        return replace(spec, api_key=ref)

    return replace(spec, credential=ref) if isinstance(spec, GatewaySpec) else spec
