"""What ingress asks of the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from spindle_spi.context import AuthenticatedContext, Subject, TraceContext


class Callers(Protocol):
    """What ingress asks of the core about callers; `spindle.identity.Identity` is it."""

    def resolve(
        self,
        *,
        credential: str | None,
        client_ip: str | None,
        trace: TraceContext,
        server_slug: str | None = None,
        path: str | None = None,
    ) -> AuthenticatedContext:
        """Return the caller at a path, or raise Unauthenticated or NotFound."""
        ...

    def is_current(self, subject: Subject) -> bool:
        """Tell whether the caller's credential still holds."""
        ...

    def permitted(self, context: AuthenticatedContext, permission: str) -> bool:
        """Tell whether the caller holds a permission."""
        ...

    def view_key(self, context: AuthenticatedContext) -> str:
        """Return a key equal exactly when two callers' lists are equal."""
        ...


class OpenLeases(Protocol):
    """The permits a request may leave behind; `spindle.leases.Leases` is it."""

    def has_open(self, lease_id: str) -> bool:
        """Tell whether ending this lease would do anything."""
        ...

    def end(self, lease_id: str) -> Awaitable[None]:
        """Settle what is left of a lease."""
        ...
