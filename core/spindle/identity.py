"""Turns a credential into a caller, from the snapshot alone."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from spindle.limits.strangers import Strangers
from spindle.tokens import hash_token
from spindle_spi.context import AuthenticatedContext, Subject, TraceContext, VisibilityScope
from spindle_spi.errors import NotFound, Unauthenticated
from spindle_spi.policy import permitted, restrictions_hold
from spindle_spi.records import Kind, ServerSpec, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle.credentials import Credential
    from spindle.federation.runtime import Federation
    from spindle.snapshot import Snapshot
    from spindle.snapshots import Snapshots

_ANONYMOUS = Subject()
_SPARED_SECONDS = 1.0


def _note_nothing(token_id: str, client_ip: str | None) -> None:
    """Note no use of any token."""
    del token_id, client_ip


class Identity:
    """Resolves callers and tells whether they still hold."""

    def __init__(
        self, snapshots: Snapshots, *, note_use: Callable[[str, str | None], None] = _note_nothing
    ) -> None:
        self._snapshots = snapshots
        self._note_use = note_use
        self._spared: dict[Subject, float] = {}
        self.strangers = Strangers()
        """Where requests without a credential come from."""
        self.federation: Federation | None = None
        """Who vouches for callers beside our own tokens; None where nobody does."""

    def resolve(
        self,
        *,
        credential: str | None,
        client_ip: str | None,
        trace: TraceContext,
        server_slug: str | None = None,
        path: str | None = None,
    ) -> AuthenticatedContext:
        """Return the caller a credential stands for, narrowed to a virtual server if named.

        A credential for some paths alone holds at no other, nor where there are none.

        Raises:
            Unauthenticated: No credential, or it does not hold here and now.
            NotFound: The server is absent, or hidden from this caller.
        """
        server = None if server_slug is None else Target(kind=Kind.SERVER, name=server_slug)
        return self.resolve_for(
            credential=credential, client_ip=client_ip, trace=trace, server=server, path=path
        )

    def resolve_for(
        self,
        *,
        credential: str | None,
        client_ip: str | None,
        trace: TraceContext,
        server: Target | None,
        path: str | None = None,
    ) -> AuthenticatedContext:
        """Return the caller as `resolve` does, the server named in any way."""
        snapshot = self._snapshots.current

        if credential is None:
            self.strangers.note(trace.request_id, client_ip)
            return _anonymous(snapshot, trace, server)

        hashed = hash_token(credential)
        known = snapshot.credentials.get(hashed)

        if known is None and self.federation is not None:
            known = self.federation.credential(credential, hashed, snapshot)

        if known is None or not _holds(known, client_ip) or not _leads_to(known, path):
            raise Unauthenticated("The token is not valid.")

        token_id = known.subject.token_id

        if token_id is not None and token_id in snapshot.epochs:
            self._note_use(token_id, client_ip)

        context = AuthenticatedContext(
            subject=known.subject, visibility_scope=known.scope, trace=trace
        )

        if server is None:
            return context

        record = snapshot.see(context, server)

        if record is None:
            raise _no_server(server.name)

        return replace(context, visibility_scope=replace(known.scope, server_id=record.id))

    def is_current(self, subject: Subject) -> bool:
        """Tell whether a caller's credential is still in force at the epoch it was resolved."""
        token_id = subject.token_id

        if token_id is None:
            return True

        snapshot = self._snapshots.current

        epoch = snapshot.epochs.get(token_id)

        if epoch is None and self.federation is not None:
            return self.federation.is_current(subject, snapshot)

        if epoch != subject.token_epoch:
            return self._is_spared(subject)

        expires_at = snapshot.expiries.get(token_id)
        return expires_at is None or expires_at > time.time()

    def spare(self, subject: Subject, *, seconds: float = _SPARED_SECONDS) -> None:
        """Let a caller get the answer to a change of their own credential, for a moment.

        What is open under the old state of it is cut that much later; new calls are not let in.
        """
        now = time.monotonic()
        self._spared = {each: end for each, end in self._spared.items() if end > now}
        self._spared[subject] = now + seconds

    def _is_spared(self, subject: Subject) -> bool:
        return bool(self._spared) and self._spared.get(subject, 0.0) > time.monotonic()

    def view_key(self, context: AuthenticatedContext, kind: Kind | None = None) -> str:
        """Return a key equal exactly when two callers' lists are equal."""
        view = self._snapshots.current.view(context)
        return view.key if kind is None else view.keys[kind]

    def permitted(self, context: AuthenticatedContext, permission: str) -> bool:
        """Tell whether the caller holds a permission."""
        return permitted(context, permission)


def _anonymous(
    snapshot: Snapshot, trace: TraceContext, server: Target | None
) -> AuthenticatedContext:
    nobody = AuthenticatedContext(
        subject=_ANONYMOUS, visibility_scope=VisibilityScope(), trace=trace
    )
    # A server that is not public is nobody's to find without a token.
    record = None if server is None else snapshot.see(nobody, server)

    if record is None or not isinstance(record.spec, ServerSpec) or not record.spec.anonymous:
        raise Unauthenticated("A token is needed: Authorization: Bearer <token>.")

    permissions = ("servers.use", *record.spec.anonymous_permissions)
    return replace(
        nobody, visibility_scope=VisibilityScope(server_id=record.id, permissions=permissions)
    )


def _leads_to(credential: Credential, path: str | None) -> bool:
    paths = credential.paths

    if paths is None:
        return True

    return path is not None and any(path == one or path.startswith(f"{one}/") for one in paths)


def _holds(credential: Credential, client_ip: str | None) -> bool:
    if credential.expires_at is not None and credential.expires_at <= time.time():
        return False

    scope = credential.scope

    if not scope.ip_restrictions and not scope.time_restrictions:
        return True

    return restrictions_hold(scope, client_ip, datetime.now(UTC))


def _no_server(slug: str) -> NotFound:
    return NotFound(f"The server {slug!r} does not exist.", code="core.server.not_found")
