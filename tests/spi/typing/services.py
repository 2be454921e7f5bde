"""What somebody who builds a host, or a fake of one, writes; never run, only type-checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_spi import AuthenticatedContext, Services
from spindle_spi.admission import Estimate, Lease, Outcome, Permit
from spindle_spi.catalog import CatalogService, RecordChange, RecordPage
from spindle_spi.errors import NotFound
from spindle_spi.invocation import Complete, Invocation, ProgressSink, Result
from spindle_spi.loopback import CallCounter, loopback
from spindle_spi.noop import NoOpPlugin, noop_services

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from spindle_spi.auth import AuthPolicyService
    from spindle_spi.plugin import PluginService
    from spindle_spi.policy import Action
    from spindle_spi.records import (
        CatalogRecord,
        GatewaySpec,
        Kind,
        LeftOut,
        PublishedRecord,
        Target,
    )
    from spindle_spi.secret import Secret


class OneTool(CatalogService):
    """A catalog of one record; the operations with a default are left as they are."""

    def __init__(self, record: CatalogRecord) -> None:
        self._record = record

    async def list(
        self,
        context: AuthenticatedContext,
        kind: Kind,
        *,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> RecordPage:
        return RecordPage(records=(self._record,))

    async def fetch(self, context: AuthenticatedContext, target: Target) -> CatalogRecord:
        return self._record

    async def view_key(self, context: AuthenticatedContext, kind: Kind) -> str:
        return "one"

    async def owned(self, module: str, kind: Kind) -> tuple[CatalogRecord, ...]:
        return (self._record,)

    async def admit(
        self,
        context: AuthenticatedContext,
        target: Target,
        action: Action,
        estimate: Estimate | None = None,
        *,
        lease_id: str | None = None,
    ) -> Permit:
        return Permit(id="p", lease_id=lease_id or "l", record=self._record)

    async def settle(self, permit_id: str, outcome: Outcome) -> None:
        raise NotFound(permit_id)

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        return Complete(payload=invocation.arguments)

    async def subscribe(self, kinds: Sequence[Kind]) -> AsyncIterator[RecordChange]:
        return
        yield

    async def publish(
        self,
        module: str,
        source: str,
        records: Sequence[PublishedRecord],
        left_out: Sequence[LeftOut] = (),
    ) -> None:
        return None

    async def open_gateway(
        self,
        context: AuthenticatedContext,
        spec: GatewaySpec,
        *,
        credential: Secret | None = None,
        lease_id: str | None = None,
    ) -> CatalogRecord:
        return self._record

    async def open_lease(self, context: AuthenticatedContext, seconds: float) -> Lease:
        return Lease(id="l", expires_at=seconds)

    async def renew_lease(self, lease_id: str, seconds: float) -> Lease:
        return Lease(id=lease_id, expires_at=seconds)

    async def close_lease(self, lease_id: str) -> None:
        return None


def services_of(record: CatalogRecord, auth: AuthPolicyService) -> Services:
    """Put a host together, and reach it over bytes."""
    plugin: PluginService = NoOpPlugin()
    others = noop_services()
    services = Services(
        auth=auth,
        catalog=OneTool(record),
        plugin=plugin,
        session_event=others.session_event,
        config_secrets=others.config_secrets,
        observability=others.observability,
    )
    return loopback(services, CallCounter())
