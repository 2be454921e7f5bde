"""The audit log: who did what to what, what was decided and why, and what it changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import structlog

from spindle_spi.types import Json

if TYPE_CHECKING:
    from spindle_spi.context import AuthenticatedContext

_LOG = structlog.get_logger("spindle.audit")

Decision = Literal["allowed", "denied", "failed"]


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


class Audit:
    """Keeps entries."""

    async def record(self, context: AuthenticatedContext, entry: AuditEntry) -> None:
        """Keep an entry before the answer goes out: every change an administrator makes.

        Raises:
            Unavailable: It cannot be kept.
        """
        self.note(context, entry)

    def note(self, context: AuthenticatedContext, entry: AuditEntry) -> None:
        """Keep an entry without waiting: what was refused on a hot path. Bounded."""
        _LOG.info(
            entry.action,
            target=entry.target,
            decision=entry.decision,
            reason=entry.reason,
            actor=context.subject.user_email or context.subject.token_id,
            request_id=context.trace.request_id,
        )
