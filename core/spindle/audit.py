"""The audit log: who did what to what, what was decided and why, and what it changed.

A change is recorded before its answer goes out; a refusal is noted without waiting, in batches and
within bounds. No entry holds a secret: everything passes the redactor.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import anyio
import structlog
from sqlalchemy.exc import SQLAlchemyError

from spindle.config.audit import AuditSettings
from spindle.redaction import REDACTOR, Redactor
from spindle.store.audit import AuditRow
from spindle.store.outage import StoreRefused, StoreUnavailable
from spindle_spi.context import Subject
from spindle_spi.errors import Unavailable
from spindle_spi.policy import Action, permission_for
from spindle_spi.types import Json

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle.refusals import Refusal
    from spindle.store import Store
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.records import CatalogRecord

_LOG = structlog.get_logger("spindle.audit")

Decision = Literal["allowed", "denied", "failed"]

DROPPED = "spindle_audit_dropped_total"
SUPPRESSED = "spindle_audit_suppressed_total"

_MAX_STATE = 65_536
"""Characters of a `before` or `after`; a longer one is kept as a note that it was."""
_MAX_TEXT = 500
_BATCH = 500
_FLUSH_SECONDS = 1.0
_MINUTE = 60.0
_MAX_SOURCES = 4096
"""Credentials and addresses whose refusals are counted apart in a minute."""
_MAX_RECENT = 1024
_NOBODY = Subject()

_now = time.monotonic
_AWAY = (OSError, SQLAlchemyError, StoreUnavailable, StoreRefused)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One thing somebody did or tried."""

    action: str
    """`family.verb`: users.create, tokens.revoke, providers.update, …"""
    target: str
    """Name or id of what it was done to."""
    decision: Decision = "allowed"
    reason: str = ""
    before: Json = None
    """What it was, without secrets; None where there was nothing."""
    after: Json = None
    target_kind: str | None = None
    client_ip: str | None = None


def _count_nothing(name: str, value: float) -> None:
    del name, value


class Audit:
    """Keeps entries."""

    def __init__(
        self,
        store: Store,
        settings: AuditSettings | None = None,
        *,
        count: Callable[[str, float], None] = _count_nothing,
        redactor: Redactor = REDACTOR,
    ) -> None:
        self.settings = settings or AuditSettings()
        self._store = store
        self._count = count
        self._redactor = redactor
        self._pending: list[AuditRow] = []
        self._writing = anyio.Lock()
        self._is_full = False
        self._is_failing = False
        self._numbers = itertools.count()
        self._mark = os.urandom(4).hex()
        self._minute = 0.0
        self._refused: dict[str, int] = {}
        self._recent: dict[str, None] = {}

    def pending(self) -> int:
        """Return how many entries wait for the store."""
        return len(self._pending)

    def row(self, context: AuthenticatedContext, entry: AuditEntry) -> AuditRow:
        """Return an entry as a row, for `store.audit.add_audit` in the change's transaction."""
        return self._row(context.subject, context.trace.request_id, entry)

    async def record(self, context: AuthenticatedContext, entry: AuditEntry) -> None:
        """Keep an entry before the answer goes out: every change an administrator makes.

        Raises:
            Unavailable: It is not written yet; it waits for the store, and is in the log.
        """
        row = self.row(context, entry)

        try:
            await self._store.audit.add([row])
        except _AWAY as exc:
            # The change is made: its entry must not get lost because it came a moment late.
            self._append(row)
            _LOG.error("audit entry not written yet", kind=type(exc).__name__, **_told(row))
            raise Unavailable(
                "The change was made, but the audit log cannot be written at the moment.",
                code="core.audit.unavailable",
            ) from exc

    def note(self, context: AuthenticatedContext, entry: AuditEntry) -> None:
        """Keep an entry without waiting: what was refused on a hot path. Bounded."""
        self._append(self.row(context, entry))

    def admitted(
        self, context: AuthenticatedContext, record: CatalogRecord, action: Action
    ) -> None:
        """Note an admitted call: only where `audit.calls` wants them."""
        self.note(
            context,
            AuditEntry(
                action=permission_for(record.kind, action),
                target=record.name,
                target_kind=record.kind.value,
            ),
        )

    def refused(self, refusal: Refusal) -> None:
        """Note a refused request, once however often it is told; so many of a caller a minute."""
        if not self.settings.denied or refusal.request_id in self._recent:
            return

        self._recent[refusal.request_id] = None

        if len(self._recent) > _MAX_RECENT:
            del self._recent[next(iter(self._recent))]

        subject = refusal.subject or _NOBODY

        if not self._may_keep(subject.token_id or refusal.client_ip or ""):
            self._count(SUPPRESSED, 1.0)
            return

        entry = AuditEntry(
            action=refusal.action,
            target=refusal.target,
            target_kind=refusal.target_kind,
            decision="denied",
            reason=f"{refusal.error.code}: {refusal.error.message}",
            client_ip=refusal.client_ip,
        )
        self._append(self._row(subject, refusal.request_id, entry))

    async def run(self) -> None:
        """Write what waits, until cancelled."""
        while True:
            await anyio.sleep(_FLUSH_SECONDS)

            try:
                await self.flush()
            except _AWAY as exc:
                if not self._is_failing:
                    _LOG.error("audit log not written, trying again", kind=type(exc).__name__)

                self._is_failing = True

    async def flush(self) -> None:
        """Write what waits; what cannot be written stays."""
        async with self._writing:
            while self._pending:
                batch = self._pending[:_BATCH]
                await self._store.audit.add(batch)
                del self._pending[: len(batch)]

        self._is_failing = self._is_full = False

    async def close(self) -> None:
        """Write what waits a last time; says what is lost."""
        try:
            await self.flush()
        except _AWAY as exc:
            _LOG.error("audit entries lost", number=len(self._pending), kind=type(exc).__name__)

    def _append(self, row: AuditRow) -> None:
        if len(self._pending) >= self.settings.max_pending:
            self._count(DROPPED, 1.0)

            if not self._is_full:
                _LOG.error("audit entries dropped, the database does not keep up")

            self._is_full = True
            return

        self._pending.append(row)

    def _may_keep(self, source: str) -> bool:
        now = _now()

        if now - self._minute >= _MINUTE:
            self._minute = now
            self._refused.clear()

        # Beyond the bound all others share one allowance: sources must not cost memory.
        key = source if source in self._refused or len(self._refused) < _MAX_SOURCES else ""
        number = self._refused[key] = self._refused.get(key, 0) + 1
        return number <= self.settings.denied_per_minute

    def _row(self, subject: Subject, request_id: str, entry: AuditEntry) -> AuditRow:
        at = time.time()
        return AuditRow(
            id=f"{audit_id_at(at)}{next(self._numbers) & 0xFFFF:04x}{self._mark}",
            at=at,
            actor=subject.user_email,
            token_id=subject.token_id,
            action=entry.action,
            target_kind=entry.target_kind,
            target=self._clean(entry.target),
            decision=entry.decision,
            reason=self._clean(entry.reason),
            request_id=request_id,
            client_ip=entry.client_ip,
            before=self._state(entry.before),
            after=self._state(entry.after),
        )

    def _clean(self, text: str) -> str:
        # A database takes neither lone surrogates nor, on PostgreSQL, zeros.
        clean = self._redactor.text(text).encode("utf-8", "replace").decode().replace("\0", "")
        return clean if len(clean) <= _MAX_TEXT else f"{clean[:_MAX_TEXT]}…"

    def _state(self, value: Json) -> str | None:
        if value is None:
            return None

        text = json.dumps(self._redactor.data(value))
        return text if len(text) <= _MAX_STATE else json.dumps({"too_long": len(text)})


def audit_id_at(at: float) -> str:
    """Return how the ids of a moment begin; ids compare as their moments do."""
    return f"{max(0, int(at * 1_000_000)):014x}"


def _told(row: AuditRow) -> dict[str, object]:
    names = ("action", "target", "decision", "reason", "actor", "token_id", "request_id")
    return {name: getattr(row, name) for name in names}
