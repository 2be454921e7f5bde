"""CatalogService of a fake host, as one module sees it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spindle_conformance.fakes.admission import FakeAdmission
from spindle_conformance.fakes.invocations import FakeInvoker
from spindle_conformance.fakes.journal import Journal, Published
from spindle_conformance.fakes.records import FakeRecords
from spindle_conformance.fakes.refusals import Refusals
from spindle_spi.catalog import CatalogService, RecordChange, RecordPage
from spindle_spi.errors import FailedPrecondition, InvalidArgument
from spindle_spi.policy import Action, allow, fetch_permission, permission_for, visible
from spindle_spi.records import (
    CatalogRecord,
    GatewaySpec,
    Kind,
    LeftOut,
    PublishedRecord,
    Target,
    Visibility,
)
from spindle_spi.secret import SecretRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from spindle_spi.admission import Estimate, Lease, Outcome, Permit
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.invocation import Invocation, ProgressSink, Result
    from spindle_spi.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeCatalog(CatalogService):
    """Decides by the policy of the SPI alone."""

    module_id: str
    records: FakeRecords
    admission: FakeAdmission
    invoker: FakeInvoker
    journal: Journal
    refusals: Refusals
    secrets: dict[str, str]

    async def list(
        self,
        context: AuthenticatedContext,
        kind: Kind,
        *,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> RecordPage:
        self.journal.listed.append(kind)
        self.refusals.check("list")
        allow(context, permission_for(kind, Action.READ))

        if limit is not None and limit < 1:
            raise InvalidArgument("The limit must be at least 1.", code="core.limit")

        seen = self.records.listed(context, kind)
        after = "" if cursor is None else _cursor_name(cursor)
        rest = [record for record in seen if cursor is None or record.name > after]
        page = rest[:limit]
        return RecordPage(
            records=tuple(page),
            next_cursor=_cursor(page[-1].name) if len(page) < len(rest) else None,
            view_key=self.records.view_key(context, kind),
        )

    async def fetch(self, context: AuthenticatedContext, target: Target) -> CatalogRecord:
        self.refusals.check("fetch")
        record = self.records.seen(context, target)
        allow(context, fetch_permission(context, record), record)
        return record

    async def view_key(self, context: AuthenticatedContext, kind: Kind) -> str:
        self.refusals.check("view_key")
        return self.records.view_key(context, kind)

    async def owned(self, module: str, kind: Kind) -> tuple[CatalogRecord, ...]:
        self.refusals.check("owned")
        self._check_module(module)
        return tuple(
            one for one in self.records if one.kind is kind and one.module == module and one.enabled
        )

    async def admit(
        self,
        context: AuthenticatedContext,
        target: Target,
        action: Action,
        estimate: Estimate | None = None,
        *,
        lease_id: str | None = None,
    ) -> Permit:
        self.refusals.check("admit")
        return self.admission.admit(
            context, target, action, estimate, lease_id=lease_id, module=self.module_id
        )

    async def settle(self, permit_id: str, outcome: Outcome) -> None:
        self.admission.settle(permit_id, outcome, module=self.module_id)
        # Where the core refuses a permit that is there, the permit ends all the same.
        self.refusals.check("settle")

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        self.journal.invoked.append(invocation)
        self.refusals.check("invoke")
        return await self.invoker.invoke(context, invocation, progress)

    def subscribe(self, kinds: Sequence[Kind]) -> AsyncIterator[RecordChange]:
        return self.records.feed(kinds)

    async def publish(
        self,
        module: str,
        source: str,
        records: Sequence[PublishedRecord],
        left_out: Sequence[LeftOut] = (),
    ) -> None:
        self.refusals.check("publish")
        self._check_module(module)
        self.records.publish(module, source, records)
        self.journal.published.append(
            Published(
                module=module, source=source, records=tuple(records), left_out=tuple(left_out)
            )
        )

    async def open_gateway(
        self,
        context: AuthenticatedContext,
        spec: GatewaySpec,
        *,
        credential: Secret | None = None,
        lease_id: str | None = None,
    ) -> CatalogRecord:
        self.refusals.check("open_gateway")
        allow(context, permission_for(Kind.GATEWAY, Action.CREATE))

        if spec.transport not in ("streamable_http", "sse") or spec.url is None or spec.command:
            raise InvalidArgument(
                "A caller may open only streamable_http and sse gateways.",
                code="core.gateway.transport",
            )

        module = self.invoker.module_of_family("mcp")
        identity = f"own-{len(self.journal.opened) + 1}"
        ref = None if credential is None else SecretRef(name=identity)
        record = CatalogRecord(
            id=identity,
            kind=Kind.GATEWAY,
            name=identity,
            spec=replace(spec, credential=ref),
            module=module,
            owner=context.subject.user_email,
            visibility=Visibility.PRIVATE,
            origin="ephemeral",
        )

        if not visible(context, record):
            raise FailedPrecondition(
                "Only a person's token, with a team and outside of a server, opens gateways.",
                code="core.gateway.owner",
            )

        def close() -> None:
            self.secrets.pop(identity, None)
            self.records.discard(identity)

        self.admission.leases.on_end(context, lease_id, close)

        if credential is not None:
            self.secrets[identity] = credential.reveal()

        self.records.add(record)
        self.journal.opened.append(record)
        return record

    async def open_lease(self, context: AuthenticatedContext, seconds: float) -> Lease:
        self.refusals.check("open_lease")
        return self.admission.leases.open(context, seconds)

    async def renew_lease(self, lease_id: str, seconds: float) -> Lease:
        self.refusals.check("renew_lease")
        return self.admission.leases.renew(lease_id, seconds)

    async def close_lease(self, lease_id: str) -> None:
        self.refusals.check("close_lease")
        self.admission.leases.end(lease_id)

    def _check_module(self, module: str) -> None:
        if module != self.module_id:
            raise InvalidArgument(f"This is the module {self.module_id}, not {module}.")


def _cursor(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _cursor_name(cursor: str) -> str:
    try:
        return base64.b64decode(cursor.encode(), b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as exc:
        raise InvalidArgument("The cursor is not one of ours.", code="core.cursor") from exc
