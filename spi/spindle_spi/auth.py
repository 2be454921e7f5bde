"""AuthPolicyService: who calls, and what they may do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from spindle_spi.context import AuthenticatedContext
from spindle_spi.policy import Action
from spindle_spi.records import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveCallerRequest:
    """What a transport knows of a caller."""

    transport: str
    """http, stdio, …"""
    headers: tuple[tuple[str, str], ...] = ()
    """Lower-case names."""
    client_ip: str | None = None
    requested_server_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An answer of policy, with the reason for logs and audit (never for clients)."""

    allowed: bool
    reason: str = ""


class AuthPolicyService(ABC):
    """The caller as the core sees them. Modules never read a credential themselves."""

    @abstractmethod
    async def resolve_caller(self, request: ResolveCallerRequest) -> AuthenticatedContext:
        """Resolve a credential to a caller.

        Raises:
            Unauthenticated: No credential, or one that does not hold here and now.
            NotFound: The requested server is absent or hidden from this caller.
        """

    @abstractmethod
    async def check_permission(self, context: AuthenticatedContext, permission: str) -> Decision:
        """Tell whether the caller holds a permission, regardless of any record."""

    @abstractmethod
    async def check_catalog_access(
        self, context: AuthenticatedContext, target: Target, action: Action
    ) -> Decision:
        """Tell whether the caller sees a record and may do something with it.

        Raises:
            NotFound: Absent or hidden.
        """

    @abstractmethod
    async def validate_session_binding(
        self, context: AuthenticatedContext, session_id: str
    ) -> Decision:
        """Tell whether a stored session belongs to this caller and its credential still holds."""
