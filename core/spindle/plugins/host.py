"""What the core offers to plugins: models, secrets, and addresses they may connect to."""

from __future__ import annotations

import secrets
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from spindle.egress import safe_address
from spindle.secrets import SecretSource, SecretStore
from spindle_spi.context import AuthenticatedContext, Subject, VisibilityScope
from spindle_spi.errors import FailedPrecondition, InvalidArgument, Unsupported
from spindle_spi.invocation import MAX_DEPTH, Complete, Invocation, Result
from spindle_spi.plugin import PluginHost
from spindle_spi.records import Kind, Target
from spindle_spi.secret import Secret, SecretRef

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_spi.plugin import PluginInput
    from spindle_spi.types import JsonObject

JUDGING: ContextVar[tuple[str, ...]] = ContextVar("judging", default=())
"""Names of the plugins whose verdicts are awaited here, the outermost first.

Their own calls carry this with them; nothing a client sends can.
"""

Invoke: TypeAlias = "Callable[[AuthenticatedContext, Invocation], Awaitable[Result]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the hosts of all plugins share."""

    secrets: SecretStore
    allowed_hosts: tuple[str, ...] = ()
    """Hosts whose addresses may be private."""
    invoke: Invoke | None = None
    """How records are called; None where no gateway runs."""


class CoreHost(PluginHost):
    """The core as one plugin reaches it."""

    def __init__(self, offer: Offer, name: str, budget_seconds: float) -> None:
        self._name = name
        self._budget_seconds = budget_seconds
        self._offer = offer

    @property
    def budget_seconds(self) -> float:
        """How long `inspect` may take."""
        return self._budget_seconds

    async def invoke(self, call: PluginInput, model: str, request: JsonObject) -> JsonObject:
        """Call a model; see `PluginHost.invoke`."""
        chain = (*JUDGING.get(), self._name)

        if self._offer.invoke is None:
            raise FailedPrecondition(
                "Models can be called by a running gateway only: use POST /plugins/try there.",
                code="plugin.no_gateway",
            )

        if len(chain) > MAX_DEPTH:
            raise FailedPrecondition(
                f"Calls may nest {MAX_DEPTH} deep.", code="core.invoke.too_deep"
            )

        token = JUDGING.set(chain)

        try:
            result = await self._offer.invoke(
                self._identity(call),
                Invocation(
                    target=Target(kind=Kind.MODEL, name=model),
                    arguments=request,
                    depth=len(chain),
                ),
            )
        finally:
            JUDGING.reset(token)

        if not isinstance(result, Complete):
            raise Unsupported(f"The model {model!r} did not answer in one piece.")

        return result.payload

    def secret(self, reference: str) -> Secret:
        """Return a secret; see `PluginHost.secret`."""
        scheme, _, name = reference.partition(":")

        if scheme == "vault" and name:
            return self._offer.secrets.resolve(SecretRef(name=name))

        if scheme == "env" and name:
            source = SecretSource(env_var=name)
        elif scheme == "file" and name:
            source = SecretSource(file=Path(name))
        else:
            raise InvalidArgument("A secret is named as env:NAME, file:PATH or vault:NAME.")

        return SecretStore.from_environment({reference: source}).resolve(SecretRef(name=reference))

    async def address_of(self, url: str) -> str:
        """Return the address to connect to; see `PluginHost.address_of`."""
        return await safe_address(url, self._offer.allowed_hosts)

    def _identity(self, call: PluginInput) -> AuthenticatedContext:
        # The plugin, not the caller: its model need not be visible to whom it judges, and what
        # it costs is not theirs. It may do nothing but this.
        outer = call.context.trace
        return AuthenticatedContext(
            subject=Subject(is_admin=True, token_teams=None, token_id=f"plugin:{self._name}"),
            visibility_scope=VisibilityScope(permissions=("llm.invoke",)),
            trace=replace(
                outer,
                request_id=f"{outer.request_id}.{secrets.token_hex(4)}",
                correlation_id=outer.correlation_id or outer.request_id,
            ),
        )
