"""A core on a real store, with a few records and callers, for the tests of its heart."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypedDict, Unpack

from spindle.config import load_settings
from spindle.core import Core
from spindle.store import TokenRow
from spindle.tokens import mint
from spindle_spi.context import AuthenticatedContext, TraceContext
from spindle_spi.descriptor import ModuleDescriptor
from spindle_spi.invocation import Complete, Invocation, ProgressSink, Result
from spindle_spi.module import Module, ModuleContext, Started
from spindle_spi.policy import ROLES
from tests.support.databases import store_environ

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

CONFIGURATION = """
llm:
  services:
    up:
      provider_type: openai
      urls: ["http://127.0.0.1:9/v1"]
      models:
        - {name: open, input_price: 1.0, output_price: 2.0, fallbacks: [up~red, up~blue]}
        - {name: red, visibility: team, team: red}
        - {name: blue, visibility: team, team: blue, aliases: [azure]}
mcp:
  gateways:
    demo: {transport: builtin}
model_tools:
  ask: {model: up~open, description: Ask the model.}
servers:
  desk: {gateways: [demo], tools: [ask], models: [up~open], visibility: public}
  lobby: {gateways: [demo], visibility: public, anonymous: true}
  closet: {gateways: [demo], visibility: team, team: red, anonymous: true}
"""


class TokenChanges(TypedDict, total=False):
    """What a test wants of a token beside the usual."""

    user_email: str | None
    permissions: tuple[str, ...]
    server_id: str | None
    ip_restrictions: tuple[str, ...]
    expires_at: float | None


_numbers = iter(range(1, 1_000_000))


@dataclass(slots=True)
class Owner(Module):
    """A module that answers calls with what it is told to."""

    module_id: str = "llm"
    answer: Callable[[Invocation], Result] = field(
        default=lambda invocation: Complete(
            payload={"content": [{"type": "text", "text": str(invocation.arguments)}]}
        )
    )
    seen: list[Invocation] = field(default_factory=list[Invocation])

    @property
    def descriptor(self) -> ModuleDescriptor:
        return ModuleDescriptor(
            module_id=self.module_id,
            protocol_family=self.module_id,
            module_version="1",
            serves=("tool", "model"),
        )

    async def run(self, context: ModuleContext, started: Started) -> None:
        started()

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        self.seen.append(invocation)
        return self.answer(invocation)


@dataclass(slots=True)
class Heart:
    """An open core and how to make callers for it."""

    core: Core

    async def caller(
        self,
        *teams: str,
        role: str = "developer",
        admin: bool = False,
        **changes: Unpack[TokenChanges],
    ) -> AuthenticatedContext:
        """Mint a token and resolve it."""
        text = await self.token(*teams, role=role, admin=admin, **changes)
        return self.resolve(text)

    async def token(
        self,
        *teams: str,
        role: str = "developer",
        admin: bool = False,
        **changes: Unpack[TokenChanges],
    ) -> str:
        """Mint a token and return its text."""
        secret, prefix, hashed = mint()
        row = TokenRow(
            id=f"tok_{next(_numbers)}",
            name="test",
            prefix=prefix,
            hash=hashed,
            created_at=time.time(),
            is_admin=admin,
            teams=None if admin else teams,
            permissions=ROLES[role],
            # Permissions of its own are not narrowed by a role.
            role="" if "permissions" in changes else role,
        )
        await self.core.store.tokens.create(replace(row, **changes))
        await self.core.snapshots.refresh()
        return secret.reveal()

    def resolve(self, text: str | None, server: str | None = None) -> AuthenticatedContext:
        """Resolve a token as a new request would."""
        return self.core.identity.resolve(
            credential=text,
            client_ip="127.0.0.1",
            trace=TraceContext(request_id=f"req_{next(_numbers)}"),
            server_slug=server,
        )


@asynccontextmanager
async def open_heart(home: Path, extra: str = "", *, off: bool = False) -> AsyncGenerator[Heart]:
    """Open a core on a fresh store; with `off` the provider is switched off."""
    path = home / "spindle.yaml"
    switch = "\n      enabled: false" if off else ""
    path.write_text(
        CONFIGURATION.replace("provider_type: openai", f"provider_type: openai{switch}") + extra
    )
    core = await Core.open(load_settings(path, home=home, environ=await store_environ(home)))

    try:
        yield Heart(core)
    finally:
        await core.close()
