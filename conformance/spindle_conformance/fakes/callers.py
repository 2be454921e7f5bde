"""Callers made by hand, and how a credential becomes one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from spindle_conformance.fakes.records import FakeRecords
from spindle_conformance.fakes.refusals import Refusals
from spindle_conformance.fakes.sessions import FakeSessions
from spindle_spi.auth import AuthPolicyService, Decision, ResolveCallerRequest
from spindle_spi.context import AuthenticatedContext, Subject, TraceContext, VisibilityScope
from spindle_spi.errors import InvalidArgument, NotFound, Unauthenticated
from spindle_spi.policy import ROLES, Action, permission_for, permitted, restrictions_hold
from spindle_spi.records import Kind, ServerSpec, Target

_DECISIVE = frozenset({"authorization", "x-api-key"})
_numbers = itertools.count(1)


def caller(
    email: str | None = "ada@example.org",
    *teams: str,
    token_id: str | None = None,
    permissions: tuple[str, ...] = ROLES["developer"],
    is_admin: bool = False,
    server_id: str | None = None,
) -> AuthenticatedContext:
    """Return a caller in a request of its own.

    One e-mail means one token unless `token_id` says otherwise; without either the caller is
    anonymous. An administrator without teams sees everything.
    """
    if token_id is None and email is not None:
        token_id = f"token-{email}"

    return AuthenticatedContext(
        subject=Subject(
            user_email=email,
            is_admin=is_admin,
            token_teams=None if is_admin and not teams else teams,
            token_id=token_id,
        ),
        visibility_scope=VisibilityScope(server_id=server_id, permissions=permissions),
        trace=TraceContext(request_id=f"req-{next(_numbers)}"),
    )


@dataclass(slots=True)
class FakeCallers:
    """The callers a host knows, by credential."""

    records: FakeRecords
    known: dict[str, AuthenticatedContext] = field(default_factory=dict[str, AuthenticatedContext])
    revoked: set[str] = field(default_factory=set[str])
    """Ids of tokens that hold no longer; of contexts made by `caller` as well."""

    def resolve(
        self,
        credential: str | None,
        *,
        trace: TraceContext | None = None,
        client_ip: str | None = None,
        server: Target | None = None,
    ) -> AuthenticatedContext:
        """Return the caller a credential stands for, narrowed to a virtual server if named.

        Raises:
            Unauthenticated: No credential, or one that does not hold here and now.
            NotFound: The server is absent, or hidden from this caller.
        """
        trace = trace or TraceContext(request_id=f"req-{next(_numbers)}")

        if credential is None:
            return self._anonymous(trace, server)

        known = self.known.get(credential)

        if known is None or not self.is_current(known.subject):
            raise Unauthenticated("The token is not valid.")

        if not restrictions_hold(known.visibility_scope, client_ip, datetime.now(UTC)):
            raise Unauthenticated("The token is not valid.")

        context = replace(known, trace=trace)

        if server is None:
            return context

        record = self.records.see(context, server)

        if record is None:
            raise NotFound(
                f"The server {server.name!r} does not exist.", code="core.server.not_found"
            )

        scope = replace(context.visibility_scope, server_id=record.id)
        return replace(context, visibility_scope=scope)

    def is_current(self, subject: Subject) -> bool:
        """Tell whether a caller's credential is still in force."""
        return subject.token_id is None or subject.token_id not in self.revoked

    def _anonymous(self, trace: TraceContext, server: Target | None) -> AuthenticatedContext:
        nobody = AuthenticatedContext(
            subject=Subject(), visibility_scope=VisibilityScope(), trace=trace
        )
        record = None if server is None else self.records.see(nobody, server)

        if record is None or not isinstance(record.spec, ServerSpec) or not record.spec.anonymous:
            raise Unauthenticated("A token is needed: Authorization: Bearer <token>.")

        permissions = ("servers.use", *record.spec.anonymous_permissions)
        scope = VisibilityScope(server_id=record.id, permissions=permissions)
        return replace(nobody, visibility_scope=scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeAuthPolicy(AuthPolicyService):
    """Answers about callers from what the host knows."""

    callers: FakeCallers
    records: FakeRecords
    sessions: FakeSessions
    refusals: Refusals

    async def resolve_caller(self, request: ResolveCallerRequest) -> AuthenticatedContext:
        self.refusals.check("resolve_caller")
        server_id = request.requested_server_id
        return self.callers.resolve(
            _credential(request),
            client_ip=request.client_ip,
            server=None
            if server_id is None
            else Target(kind=Kind.SERVER, name=server_id, by_id=True),
        )

    async def check_permission(self, context: AuthenticatedContext, permission: str) -> Decision:
        self.refusals.check("check_permission")

        return _decision(permitted(context, permission), permission)

    async def check_catalog_access(
        self, context: AuthenticatedContext, target: Target, action: Action
    ) -> Decision:
        self.refusals.check("check_catalog_access")
        record = self.records.seen(context, target)
        permission = permission_for(record.kind, action)
        return _decision(permitted(context, permission, record), permission)

    async def validate_session_binding(
        self, context: AuthenticatedContext, session_id: str
    ) -> Decision:
        self.refusals.check("validate_session_binding")

        if not self.callers.is_current(context.subject):
            return Decision(allowed=False, reason="the credential is no longer in force")

        if not await self.sessions.validate_session_owner(context, session_id):
            return Decision(allowed=False, reason="no such session of this caller")

        return Decision(allowed=True)


def _decision(allowed: bool, permission: str) -> Decision:
    return Decision(allowed=allowed, reason="" if allowed else f"lacks {permission}")


def _credential(request: ResolveCallerRequest) -> str | None:
    headers: dict[str, str] = {}

    for name, value in request.headers:
        key = name.lower()

        if key in _DECISIVE and key in headers:
            raise InvalidArgument(
                f"The header {key} may be sent once only.", code="core.header_repeated"
            )

        headers[key] = value

    authorization = headers.get("authorization", "")

    if authorization[:7].lower() == "bearer ":
        return authorization[7:].strip() or None

    return headers.get("x-api-key", "").strip() or None
