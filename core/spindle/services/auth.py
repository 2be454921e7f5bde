"""AuthPolicyService over the snapshot."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING

from spindle.decisions import seen
from spindle.federation.waiting import KeysNeeded, resolved
from spindle.ingress.requests import credential_of
from spindle_spi.auth import AuthPolicyService, Decision, ResolveCallerRequest
from spindle_spi.context import AuthenticatedContext, TraceContext
from spindle_spi.errors import InvalidArgument, NotFound
from spindle_spi.policy import Action, permission_for, permitted
from spindle_spi.records import Kind, Target

if TYPE_CHECKING:
    from spindle.identity import Identity
    from spindle.services.session_event import SessionEvents
    from spindle.snapshots import Snapshots


_DECISIVE = frozenset({b"authorization", b"x-api-key"})


class AuthPolicy(AuthPolicyService):
    """Resolves callers for transports the ingress does not serve, and answers questions."""

    def __init__(
        self, *, identity: Identity, snapshots: Snapshots, sessions: SessionEvents
    ) -> None:
        self._identity = identity
        self._snapshots = snapshots
        self._sessions = sessions

    async def resolve_caller(self, request: ResolveCallerRequest) -> AuthenticatedContext:
        server_id = request.requested_server_id
        # By its id alone, and said back as the caller said it: the name may be hidden.
        server = None if server_id is None else Target(kind=Kind.SERVER, name=server_id, by_id=True)
        resolve = partial(
            self._identity.resolve_for,
            credential=credential_of(_headers(request)),
            client_ip=request.client_ip,
            trace=TraceContext(request_id=f"req_{secrets.token_hex(12)}"),
            server=server,
        )

        try:
            return resolve()
        except KeysNeeded as missing:
            return await resolved(resolve, missing)

    async def check_permission(self, context: AuthenticatedContext, permission: str) -> Decision:
        return _decision(permitted(context, permission), permission)

    async def check_catalog_access(
        self, context: AuthenticatedContext, target: Target, action: Action
    ) -> Decision:
        record = seen(self._snapshots.current, context, target)
        permission = permission_for(record.kind, action)
        return _decision(permitted(context, permission, record), permission)

    async def validate_session_binding(
        self, context: AuthenticatedContext, session_id: str
    ) -> Decision:
        if not self._identity.is_current(context.subject):
            return Decision(allowed=False, reason="the credential is no longer in force")

        try:
            await self._sessions.get_session(context, session_id)
        except NotFound:
            return Decision(allowed=False, reason="no such session of this caller")

        return Decision(allowed=True)


def _decision(allowed: bool, permission: str) -> Decision:
    return Decision(allowed=allowed, reason="" if allowed else f"lacks {permission}")


def _headers(request: ResolveCallerRequest) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}

    for name, value in request.headers:
        key = name.lower().encode(errors="replace")

        if key in _DECISIVE and key in headers:
            raise InvalidArgument(
                f"The header {name.lower()} may be sent once only.", code="core.header_repeated"
            )

        headers[key] = value.encode(errors="replace")

    return headers
