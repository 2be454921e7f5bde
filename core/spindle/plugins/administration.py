"""What administrators do with plugins: the same for the API and the commands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle.audit import AuditEntry
from spindle.directory.shown import moment
from spindle.plugins.conditions import conditions_of
from spindle.plugins.dry_run import dry_run
from spindle.plugins.policy import read_entry
from spindle.redaction import REDACTOR
from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from spindle_spi.plugin import PluginMode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from enum import StrEnum

    from spindle.audit import Audit
    from spindle.config.plugins import PluginEntry
    from spindle.plugins.dry_run import Sample, Verdict
    from spindle.plugins.policy import Installed, PluginPolicy
    from spindle.store.audit import AuditRow
    from spindle.store.plugins import StoredPlugins
    from spindle_spi.types import Json, JsonObject

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED = frozenset({"try"})
"""Names that are paths of their own in the API."""
_MAX_FAULTS = 20
_MAX_ENTRIES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who changes something, and from where."""

    context: AuthenticatedContext
    client_ip: str | None = None

    @property
    def name(self) -> str:
        """Return who it is, for `updated_by`."""
        subject = self.context.subject
        return subject.user_email or f"token:{subject.token_id}"


class PluginAdministration:
    """Creates, changes, removes and tries entries; reads come from the policy in force."""

    def __init__(
        self,
        policy: PluginPolicy,
        store: StoredPlugins,
        audit: Audit,
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        self._policy = policy
        self._store = store
        self._audit = audit
        self._refresh = refresh

    def all(self, context: AuthenticatedContext) -> tuple[Installed, ...]:
        """Return the entries a caller may know of, by name."""
        found = self._policy.installed
        return tuple(found[name] for name in sorted(found) if _is_seen(context, found[name]))

    def get(self, context: AuthenticatedContext, name: str) -> Installed:
        """Return one entry.

        Raises:
            NotFound: There is none, or it is for other teams only.
        """
        found = self._policy.installed.get(name)

        if found is None or not _is_seen(context, found):
            raise NotFound(f"There is no plugin {name!r}.", code="core.plugin.not_found")

        return found

    def available(self) -> list[JsonObject]:
        """Return what can be configured, with the schemas of its settings."""
        loader = self._policy.loader()
        offers = loader.offers()
        return [
            {
                "plugin": name,
                "source": source,
                "kinds": _values(found.kinds) if found else [],
                "phases": _values(found.phases) if found else [],
                "config_schema": dict(found.config_schema) if found else None,
                "faults": [fault for fault in loader.faults if fault.startswith(f"{name}.plugin:")],
            }
            for name, source, found in offers
        ]

    async def create(self, actor: Actor, entry: PluginEntry) -> Installed:
        """Store a new entry and put it in force.

        Raises:
            InvalidArgument: Something is wrong with it; names every fault by its path.
            Conflict: The name is taken, or there are too many.
        """
        if not _NAME.fullmatch(entry.name) or entry.name in _RESERVED:
            raise InvalidArgument(
                "name: expected up to 100 letters, digits, '.', '_' and '-', and not 'try'."
            )

        if entry.name in self._policy.installed:
            raise _taken(entry.name)

        self._check(entry)

        if len(self._policy.installed) >= _MAX_ENTRIES:
            raise Conflict(f"There are {_MAX_ENTRIES} plugins, which is as many as may be.")

        row = await self._store.create(
            entry.name,
            _dump(entry),
            by=actor.name,
            audit=[self._entry(actor, "create", entry.name, None, entry)],
        )

        if row is None:
            raise _taken(entry.name)

        return await self._in_force(entry.name)

    async def update(
        self, actor: Actor, found: Installed, changes: Mapping[str, Json]
    ) -> Installed:
        """Change some keys of an entry; None puts a key back to its default.

        Raises:
            InvalidArgument: Something is wrong with it then; names every fault by its path.
            Conflict: It comes from the configuration.
            FailedPrecondition: Somebody else changed it meanwhile.
        """
        if found.row is None or found.is_overridden:
            raise _declared(found.name)

        entry = _changed(found, changes)
        self._check(entry)
        audit = [self._entry(actor, "update", found.name, found.entry, entry)]
        row = await self._store.update(found.row, _dump(entry), by=actor.name, audit=audit)

        if row is None:
            raise _changed_since(found.name)

        return await self._in_force(found.name)

    async def remove(self, actor: Actor, found: Installed) -> None:
        """Delete an entry.

        Raises:
            Conflict: It comes from the configuration.
            FailedPrecondition: Somebody else changed it meanwhile.
        """
        if found.row is None:
            raise _declared(found.name)

        audit = [self._entry(actor, "delete", found.name, found.entry, None)]

        if not await self._store.delete(found.row, audit=audit):
            raise _changed_since(found.name)

        await self._refresh()

    async def try_entry(
        self, context: AuthenticatedContext, entry: PluginEntry, sample: Sample
    ) -> Verdict:
        """Show a sample to an entry that is not in force; nothing is written.

        Raises:
            InvalidArgument: Something is wrong with the entry.
        """
        tried = entry.model_copy(update={"mode": PluginMode.ENFORCE})
        loader = self._policy.loader()
        active = loader.build(tried, "")

        if active is None:
            raise InvalidArgument(_sentence(loader.faults))

        return await dry_run(active, sample, context)

    async def try_installed(
        self, context: AuthenticatedContext, found: Installed, sample: Sample
    ) -> Verdict:
        """Show a sample to an entry as it is; a disabled one is tried all the same.

        Raises:
            FailedPrecondition: It cannot be used.
        """
        if found.faults or found.entry is None:
            raise FailedPrecondition(
                f"The plugin {found.name!r} cannot be used: {_sentence(found.faults)}",
                code="plugin.unusable",
            )

        if found.active is None:
            return await self.try_entry(context, found.entry, sample)

        return await dry_run(found.active, sample, context)

    def _check(self, entry: PluginEntry) -> None:
        loader = self._policy.loader()
        loader.build(entry, "")

        if loader.faults:
            raise InvalidArgument(_sentence(loader.faults))

    async def _in_force(self, name: str) -> Installed:
        await self._refresh()
        return self._policy.installed[name]

    def _entry(
        self,
        actor: Actor,
        verb: str,
        name: str,
        before: PluginEntry | None,
        after: PluginEntry | None,
    ) -> AuditRow:
        entry = AuditEntry(
            action=f"plugins.{verb}",
            target=name,
            target_kind="plugin",
            before=None if before is None else _shown(before),
            after=None if after is None else _shown(after),
            client_ip=actor.client_ip,
        )
        return self._audit.row(actor.context, entry)


def show_installed(found: Installed) -> JsonObject:
    """Return an entry as JSON, without secrets."""
    entry = found.entry
    shown = {"name": found.name} if entry is None else _shown(entry)
    row = found.row
    return {
        **shown,
        "origin": found.origin,
        "state": found.state,
        "faults": list(found.faults),
        "is_scanning": None if found.active is None else found.active.is_scanning,
        "updated_at": None if row is None else moment(row.updated_at),
        "updated_by": None if row is None else row.updated_by,
        "epoch": epoch_of(found),
    }


def epoch_of(found: Installed) -> int:
    """Return the epoch of an entry; 0 for one of the configuration."""
    return found.row.epoch if found.row is not None else 0


def _is_seen(context: AuthenticatedContext, found: Installed) -> bool:
    """Tell whether an entry is any of this caller's business: it judges calls they may make."""
    subject = context.subject

    if subject.is_admin and subject.token_teams is None:
        return True

    if found.entry is None:
        return False

    return conditions_of(found.entry.conditions).concern(subject.token_teams or ())


def _shown(entry: PluginEntry) -> JsonObject:
    shown: JsonObject = entry.model_dump(mode="json")
    return shown | {"config": REDACTOR.data(shown["config"])}


def _dump(entry: PluginEntry) -> str:
    return json.dumps(entry.model_dump(mode="json", exclude_defaults=True) | {"name": entry.name})


def _changed(found: Installed, changes: Mapping[str, Json]) -> PluginEntry:
    before = {} if found.entry is None else found.entry.model_dump(mode="json")
    wanted = {key: value for key, value in {**before, **changes}.items() if value is not None}

    entry, faults = read_entry(json.dumps({**wanted, "name": found.name}))

    if entry is None:
        raise InvalidArgument(_sentence(faults))

    return entry


def _values(members: Iterable[StrEnum]) -> list[Json]:
    return [*sorted(member.value for member in members)]


def _sentence(faults: Sequence[str]) -> str:
    return f"{'; '.join(faults[:_MAX_FAULTS])}."


def _taken(name: str) -> Conflict:
    return Conflict(f"There is a plugin {name!r} already.", code="core.plugin.exists")


def _declared(name: str) -> Conflict:
    return Conflict(
        f"The plugin {name!r} comes from the configuration: change it there.",
        code="core.plugin.declared",
    )


def _changed_since(name: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"The plugin {name!r} was changed since it was read: read it again, then repeat.",
        code="core.record.changed",
        http_status=412,
    )
