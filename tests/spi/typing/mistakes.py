"""What an implementer may not write: each line is an error that the checkers must report.

A mistake they overlook leaves an ignore without use, and mypy reports that instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_spi import AuthenticatedContext, IngressRoute, Module, Services
from spindle_spi.config_secrets import ConfigSecretsService
from spindle_spi.errors import NotFound
from spindle_spi.plugin import Finding, StreamGuard
from spindle_spi.records import Kind, Target
from spindle_spi.secret import Secret, SecretRef

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject, Receive, Scope, Send


class Silent(Module):
    """A module without a descriptor and a life."""


class Sections(ConfigSecretsService):
    """A service whose answer has another type."""

    async def section(self) -> JsonObject:
        return {"set": {1}}  # type: ignore[dict-item]

    async def feature_enabled(self, flag: str) -> str:  # type: ignore[override]
        return flag

    async def secret(self, ref: SecretRef) -> Secret:
        return Secret(ref.name)


async def without_a_call(scope: Scope, receive: Receive, send: Send) -> None:
    """A plain ASGI application takes no call."""


def mistakes(context: AuthenticatedContext, services: Services, guard: StreamGuard) -> None:
    """Never called."""
    Silent()  # type: ignore[abstract]
    Target(Kind.TOOL, "echo")  # type: ignore[call-arg]
    Finding(start=0, end=1)  # type: ignore[call-arg]
    NotFound("no", status=404)  # type: ignore[call-arg]
    context.subject = context.subject  # type: ignore[misc]
    services.catalog.list(context, "tool")  # type: ignore[arg-type, unused-coroutine]
    guard.push("text")  # type: ignore[call-arg, arg-type, unused-coroutine]
    str(Secret("hush") + "!")  # type: ignore[operator]
    IngressRoute(method="GET", path="/", permission="a.b", handler=without_a_call)  # type: ignore[arg-type]
    IngressRoute(method="GET", path="/", handler=without_a_call)  # type: ignore[call-arg, arg-type]
