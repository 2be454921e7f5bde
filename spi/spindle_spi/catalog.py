"""CatalogService: the records, and the one place where a call on a record is decided."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from spindle_spi.admission import Estimate, Grant, Lease, Outcome, Permit, Settlement
from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import GatewayError, Unsupported
from spindle_spi.invocation import Invocation, ProgressSink, Result
from spindle_spi.policy import Action
from spindle_spi.records import CatalogRecord, GatewaySpec, Kind, LeftOut, PublishedRecord, Target
from spindle_spi.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPage:
    """Some of the records a caller sees, in name order."""

    records: tuple[CatalogRecord, ...]
    next_cursor: str | None = None
    view_key: str = ""
    """Equal exactly when two callers' lists are equal: a key for pre-serialised lists."""


class ChangeKind(StrEnum):
    """What happened to a record."""

    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordChange:
    """One change of the catalog."""

    change: ChangeKind
    record: CatalogRecord
    """As it is now; as it was, when removed."""


class CatalogService(ABC):
    """Governed records. Hidden is absent in every operation."""

    @abstractmethod
    async def list(
        self,
        context: AuthenticatedContext,
        kind: Kind,
        *,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> RecordPage:
        """List the records of a kind this caller sees, by name; None as limit means all.

        Raises:
            PermissionDenied: The caller may not read this kind at all.
            InvalidArgument: The cursor is not one of ours.
        """

    @abstractmethod
    async def fetch(self, context: AuthenticatedContext, target: Target) -> CatalogRecord:
        """Return one record.

        Raises:
            NotFound: Absent or hidden.
            PermissionDenied: Visible, but this kind may not be read.
        """

    @abstractmethod
    async def view_key(self, context: AuthenticatedContext, kind: Kind) -> str:
        """Return the key of this caller's list of a kind, without the list."""

    async def catch_up(self) -> None:
        """Wait until what is listed from here on holds every change that was made before.

        Another process may have made it. Without this, such a change is seen within a second.

        Raises:
            Unavailable: Nobody can tell what the others have changed.
        """
        return

    @abstractmethod
    async def owned(self, module: str, kind: Kind) -> tuple[CatalogRecord, ...]:
        """Return every enabled record of a kind a module serves (what it must connect to)."""

    @abstractmethod
    async def admit(
        self,
        context: AuthenticatedContext,
        target: Target,
        action: Action,
        estimate: Estimate | None = None,
        *,
        lease_id: str | None = None,
    ) -> Permit:
        """Decide one call: see, may, limits, reserve, plugin plan.

        The permit belongs to `lease_id`, by default the lease of the context's request.

        Raises:
            NotFound: Absent or hidden.
            PermissionDenied: Visible, not permitted.
            RateLimited: A limit or a budget is exhausted.
            FailedPrecondition: The record cannot serve this (no backend).
        """

    @abstractmethod
    async def settle(self, permit_id: str, outcome: Outcome) -> None:
        """End a permit, exactly once: usage is recorded, limits are corrected.

        Raises:
            NotFound: No such open permit: settled already, or lost.
            ContractViolation: The hook plan was not carried out; the answer must not go out.
        """

    async def settle_many(self, settlements: Sequence[Settlement]) -> None:
        """Settle a batch; a failure of one does not keep the others.

        Raises:
            GatewayError: The first failure, after all were tried.
        """
        failures: list[GatewayError] = []

        for settlement in settlements:
            try:
                await self.settle(settlement.permit_id, settlement.outcome)
            except GatewayError as exc:
                failures.append(exc)

        if failures:
            raise failures[0]

    async def grant(self, context: AuthenticatedContext, target: Target, action: Action) -> Grant:
        """Hand out a short allowance of admissions, spent locally by a sidecar.

        Raises:
            Unsupported: This host admits every call itself.
        """
        del context, target, action
        raise Unsupported("This host gives no grants.", code="core.grant.unsupported")

    def revocations(self) -> AsyncIterator[str]:
        """Iterate over the ids of this module's grants as they are taken back.

        Raises:
            Unsupported: This host admits every call itself.
        """
        raise Unsupported("This host gives no grants.", code="core.grant.unsupported")

    @abstractmethod
    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        """Call a record another module serves: admit, hooks, owner, hooks, settle.

        Raises:
            NotFound: Absent or hidden.
            PermissionDenied: Visible, not permitted.
            RateLimited: A limit or a budget is exhausted.
            PluginDenied: A plugin refused arguments or result.
            FailedPrecondition: Nested deeper than `MAX_DEPTH`.
            UpstreamError: The owner's upstream failed.
        """

    @abstractmethod
    def subscribe(self, kinds: Sequence[Kind]) -> AsyncIterator[RecordChange]:
        """Iterate over changes from now on; a slow reader sees fewer, merged by record."""

    @abstractmethod
    async def publish(
        self,
        module: str,
        source: str,
        records: Sequence[PublishedRecord],
        left_out: Sequence[LeftOut] = (),
    ) -> None:
        """Replace what a source of this module discovered; a record gone from it is removed.

        `left_out` is what the source offers beside it and why it is no record: operators see it.
        A record whose definition changed may be withheld until somebody approves it.

        `source` is a kind and a name (`gateway:files`, `provider:ollama`) whose record gives the
        published ones their owner, team and visibility; `module` alone publishes privately.

        Raises:
            InvalidArgument: The source is not this module's.
            Conflict: A name is taken by another source.
        """

    @abstractmethod
    async def open_gateway(
        self,
        context: AuthenticatedContext,
        spec: GatewaySpec,
        *,
        credential: Secret | None = None,
        lease_id: str | None = None,
    ) -> CatalogRecord:
        """Create an ephemeral private gateway for this caller; gone with the lease.

        `credential` is what the caller gave for this upstream; the record refers to it by
        `spec.credential`. The lease is by default that of the context's request.

        Raises:
            PermissionDenied: The caller may not create gateways.
            InvalidArgument: The address is refused by the egress rules, or stdio was asked for.
        """

    @abstractmethod
    async def open_lease(self, context: AuthenticatedContext, seconds: float) -> Lease:
        """Open a lease that outlives the HTTP exchange."""

    @abstractmethod
    async def renew_lease(self, lease_id: str, seconds: float) -> Lease:
        """Keep a lease alive.

        Raises:
            NotFound: It has ended.
        """

    @abstractmethod
    async def close_lease(self, lease_id: str) -> None:
        """End a lease; its unsettled permits are settled as lost. Idempotent."""
