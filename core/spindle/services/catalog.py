"""CatalogService over the snapshot, the admission and the owners."""

from __future__ import annotations

import base64
import binascii
import secrets
from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING

from spindle.changes import ChangeFeed
from spindle.decisions import seen
from spindle.egress import safe_address
from spindle_spi.catalog import CatalogService, RecordChange, RecordPage
from spindle_spi.errors import FailedPrecondition, InvalidArgument, RateLimited
from spindle_spi.policy import Action, allow, fetch_permission, permission_for, visible
from spindle_spi.records import (
    CatalogRecord,
    GatewaySpec,
    Kind,
    PublishedRecord,
    Target,
    Visibility,
)
from spindle_spi.secret import SecretRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from spindle.admission import Admission
    from spindle.identity import Identity
    from spindle.invocations import Invoker
    from spindle.programs import Programs
    from spindle.secrets import SecretStore
    from spindle.snapshots import Snapshots
    from spindle_spi.admission import Estimate, Lease, Outcome, Permit
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.invocation import Invocation, ProgressSink, Result
    from spindle_spi.secret import Secret

_GATEWAY_FAMILY = "mcp"
"""A gateway is an upstream MCP server, whichever module speaks MCP here."""


_MAX_EPHEMERAL = 1000
"""Gateways callers may hold open, all together."""


class Catalog(CatalogService):
    """The catalog as one module sees it."""

    def __init__(  # noqa: PLR0913 - the parts of the core it shows
        self,
        *,
        module_id: str,
        snapshots: Snapshots,
        identity: Identity,
        admission: Admission,
        invoker: Invoker,
        secrets_held: SecretStore,
        programs: Programs,
    ) -> None:
        self._module_id = module_id
        self._snapshots = snapshots
        self._identity = identity
        self._admission = admission
        self._invoker = invoker
        self._secrets = secrets_held
        self._programs = programs

    async def list(
        self,
        context: AuthenticatedContext,
        kind: Kind,
        *,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> RecordPage:
        allow(context, permission_for(kind, Action.READ))

        if limit is not None and limit < 1:
            raise InvalidArgument("The limit must be at least 1.", code="core.limit")

        view = self._snapshots.current.view(context)
        records = view.records[kind]

        if cursor is not None:
            after = _cursor_name(cursor)
            records = records[bisect_right(records, after, key=_name) :]

        more = limit is not None and len(records) > limit
        page = records[:limit]
        return RecordPage(
            records=page,
            next_cursor=_cursor(page[-1].name) if more else None,
            view_key=view.keys[kind],
        )

    async def fetch(self, context: AuthenticatedContext, target: Target) -> CatalogRecord:
        record = seen(self._snapshots.current, context, target)
        allow(context, fetch_permission(context, record), record)
        return record

    async def view_key(self, context: AuthenticatedContext, kind: Kind) -> str:
        return self._identity.view_key(context, kind)

    async def catch_up(self) -> None:
        await self._snapshots.catch_up()

    async def owned(self, module: str, kind: Kind) -> tuple[CatalogRecord, ...]:
        if module != self._module_id:
            raise InvalidArgument(f"This is the module {self._module_id}, not {module}.")

        records = self._snapshots.current.by_kind[kind]
        return tuple(
            r for r in records if r.module == module and r.enabled and self._programs.permits(r)
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
        return await self._admission.enter(
            context, target, action, estimate, lease_id=lease_id, holder=self._module_id
        )

    async def settle(self, permit_id: str, outcome: Outcome) -> None:
        await self._admission.settle(permit_id, outcome, holder=self._module_id)

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        return await self._invoker.invoke(context, invocation, progress)

    def subscribe(self, kinds: Sequence[Kind]) -> AsyncIterator[RecordChange]:
        return ChangeFeed(self._snapshots.listen, frozenset(kinds))

    async def publish(self, module: str, source: str, records: Sequence[PublishedRecord]) -> None:
        if module != self._module_id:
            raise InvalidArgument(f"This is the module {self._module_id}, not {module}.")

        self._snapshots.publish(module, source, records)

    async def open_gateway(
        self,
        context: AuthenticatedContext,
        spec: GatewaySpec,
        *,
        credential: Secret | None = None,
        lease_id: str | None = None,
    ) -> CatalogRecord:
        allow(context, permission_for(Kind.GATEWAY, Action.CREATE))

        if spec.transport not in ("streamable_http", "sse") or spec.url is None or spec.command:
            raise InvalidArgument(
                "A caller may open only streamable_http and sse gateways.",
                code="core.gateway.transport",
            )

        if self._snapshots.count_ephemeral() >= _MAX_EPHEMERAL:
            raise RateLimited(
                "Too many gateways are open.", code="core.gateway.too_many", retry_after=1.0
            )

        module = self._invoker.module_of_family(_GATEWAY_FAMILY)
        address = await safe_address(spec.url)
        identity = secrets.token_hex(12)
        ref = None if credential is None else SecretRef(name=identity)
        record = CatalogRecord(
            id=identity,
            kind=Kind.GATEWAY,
            name=f"own-{identity[:12]}",
            # The address was judged once; who connects must use it and not resolve again.
            spec=replace(spec, credential=ref, options={**spec.options, "address": address}),
            module=module,
            owner=context.subject.user_email,
            visibility=Visibility.PRIVATE,
            origin="ephemeral",
        )

        if not visible(context, record):
            # Private means a person's: a caller who is none would not see what it opened.
            raise FailedPrecondition(
                "Only a person's token, with a team and outside of a server, opens gateways.",
                code="core.gateway.owner",
            )

        def close() -> None:
            self._snapshots.remove_ephemeral(identity)
            self._secrets.drop(identity)

        self._admission.leases.on_end(context, lease_id, close)

        if credential is not None:
            self._secrets.hold(identity, credential)

        self._snapshots.add_ephemeral(record)
        return record

    async def open_lease(self, context: AuthenticatedContext, seconds: float) -> Lease:
        return self._admission.leases.open(context, seconds)

    async def renew_lease(self, lease_id: str, seconds: float) -> Lease:
        return self._admission.leases.renew(lease_id, seconds)

    async def close_lease(self, lease_id: str) -> None:
        await self._admission.leases.end(lease_id)


def _name(record: CatalogRecord) -> str:
    return record.name


def _cursor(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _cursor_name(cursor: str) -> str:
    try:
        return base64.b64decode(cursor.encode(), b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as exc:
        raise InvalidArgument("The cursor is not one of ours.", code="core.cursor") from exc
