"""Services of a host that has nothing: for a module's first test, and for code that runs alone.

Lists are empty, look-ups find nothing, content passes, logs and measures go nowhere, and what
would need a host is refused. They decide nothing: the policy of a real host is `policy`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from spindle_spi.admission import Estimate, Lease, Outcome, Permit
from spindle_spi.auth import AuthPolicyService, Decision, ResolveCallerRequest
from spindle_spi.catalog import CatalogService, RecordChange, RecordPage
from spindle_spi.config_secrets import ConfigSecretsService
from spindle_spi.context import AuthenticatedContext, TraceContext
from spindle_spi.errors import NotFound, Unauthenticated, Unsupported
from spindle_spi.invocation import Invocation, ProgressSink, Result
from spindle_spi.observability import AuditEvent, Level, ObservabilityService
from spindle_spi.plugin import HookPhase, Lane, PluginService, Segment, StreamGuard
from spindle_spi.policy import Action
from spindle_spi.records import CatalogRecord, GatewaySpec, Kind, PublishedRecord, Target
from spindle_spi.secret import Secret, SecretRef
from spindle_spi.services import Services
from spindle_spi.session_event import Session, SessionEvent, SessionEventService, SessionSpec
from spindle_spi.types import Json, JsonObject

_DENIED = Decision(allowed=False, reason="no host")


def noop_services() -> Services:
    """Return the six services of a host that has nothing."""
    return Services(
        auth=NoOpAuthPolicy(),
        catalog=NoOpCatalog(),
        plugin=NoOpPlugin(),
        session_event=NoOpSessionEvent(),
        config_secrets=NoOpConfigSecrets(),
        observability=NoOpObservability(),
    )


class NoOpAuthPolicy(AuthPolicyService):
    """Knows nobody and permits nothing."""

    async def resolve_caller(self, request: ResolveCallerRequest) -> AuthenticatedContext:
        raise Unauthenticated("There is no host to know a caller.")

    async def check_permission(self, context: AuthenticatedContext, permission: str) -> Decision:
        return _DENIED

    async def check_catalog_access(
        self, context: AuthenticatedContext, target: Target, action: Action
    ) -> Decision:
        raise _nothing(target.name)

    async def validate_session_binding(
        self, context: AuthenticatedContext, session_id: str
    ) -> Decision:
        return _DENIED


class NoOpCatalog(CatalogService):
    """Has no records."""

    async def list(
        self,
        context: AuthenticatedContext,
        kind: Kind,
        *,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> RecordPage:
        return RecordPage(records=())

    async def fetch(self, context: AuthenticatedContext, target: Target) -> CatalogRecord:
        raise _nothing(target.name)

    async def view_key(self, context: AuthenticatedContext, kind: Kind) -> str:
        return ""

    async def owned(self, module: str, kind: Kind) -> tuple[CatalogRecord, ...]:
        return ()

    async def admit(
        self,
        context: AuthenticatedContext,
        target: Target,
        action: Action,
        estimate: Estimate | None = None,
        *,
        lease_id: str | None = None,
    ) -> Permit:
        raise _nothing(target.name)

    async def settle(self, permit_id: str, outcome: Outcome) -> None:
        raise _nothing(permit_id)

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        raise _nothing(invocation.target.name)

    def subscribe(self, kinds: Sequence[Kind]) -> AsyncIterator[RecordChange]:
        return _NoChanges()

    async def publish(self, module: str, source: str, records: Sequence[PublishedRecord]) -> None:
        return None

    async def open_gateway(
        self,
        context: AuthenticatedContext,
        spec: GatewaySpec,
        *,
        credential: Secret | None = None,
        lease_id: str | None = None,
    ) -> CatalogRecord:
        raise Unsupported("There is no host to open a gateway.")

    async def open_lease(self, context: AuthenticatedContext, seconds: float) -> Lease:
        raise Unsupported("There is no host to keep a lease.")

    async def renew_lease(self, lease_id: str, seconds: float) -> Lease:
        raise _nothing(lease_id)

    async def close_lease(self, lease_id: str) -> None:
        return None


class NoOpGuard(StreamGuard):
    """Releases everything at once."""

    async def push(self, lane: Lane, text: str) -> str:
        return text

    async def close(self, lane: Lane) -> str:
        return ""

    async def judge(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        return tuple(segments)

    async def finish(self) -> None:
        return None


class NoOpPlugin(PluginService):
    """Has no plugins: content passes as it is."""

    async def execute_hook(
        self,
        context: AuthenticatedContext,
        permit_id: str,
        phase: HookPhase,
        segments: Sequence[Segment],
    ) -> tuple[Segment, ...]:
        return tuple(segments)

    async def open_guard(self, context: AuthenticatedContext, permit_id: str) -> StreamGuard:
        return NoOpGuard()


class NoOpSessionEvent(SessionEventService):
    """Has no sessions and makes none."""

    async def create_session(self, context: AuthenticatedContext, spec: SessionSpec) -> Session:
        raise Unsupported("There is no host to keep a session.")

    async def get_session(self, context: AuthenticatedContext, session_id: str) -> Session:
        raise _nothing(session_id)

    async def find_session(
        self, context: AuthenticatedContext, kind: str, key: str
    ) -> Session | None:
        return None

    async def validate_session_owner(self, context: AuthenticatedContext, session_id: str) -> bool:
        return False

    async def append_event(
        self,
        context: AuthenticatedContext,
        session_id: str,
        type: str,
        data: JsonObject,
        *,
        expected_sequence: int | None = None,
    ) -> SessionEvent:
        raise _nothing(session_id)

    async def replay_events(
        self,
        context: AuthenticatedContext,
        session_id: str,
        *,
        after: int = 0,
        limit: int = 1000,
    ) -> tuple[SessionEvent, ...]:
        raise _nothing(session_id)

    async def delete_session(self, context: AuthenticatedContext, session_id: str) -> bool:
        return False


class NoOpConfigSecrets(ConfigSecretsService):
    """Has an empty section, no features and no secrets."""

    async def section(self) -> JsonObject:
        return {}

    async def feature_enabled(self, flag: str) -> bool:
        return False

    async def secret(self, ref: SecretRef) -> Secret:
        raise _nothing(ref.name)

    async def derived_keys(self, purpose: str) -> tuple[Secret, ...]:
        return ()


class NoOpObservability(ObservabilityService):
    """Keeps nothing."""

    def log(self, level: Level, event: str, fields: Mapping[str, Json] | None = None) -> None:
        return None

    def count(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        return None

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        return None

    def trace(self, context: AuthenticatedContext) -> TraceContext:
        return context.trace

    async def audit(self, context: AuthenticatedContext, event: AuditEvent) -> None:
        return None


class _NoChanges(AsyncIterator[RecordChange]):
    async def __anext__(self) -> RecordChange:
        raise StopAsyncIteration


def _nothing(name: str) -> NotFound:
    return NotFound(f"There is no {name}.")
