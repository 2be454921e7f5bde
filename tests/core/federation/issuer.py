"""A core that trusts an issuer of tokens, and the tokens of that issuer."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from spindle.federation.jwks import PublishedKeys
from spindle.federation.waiting import KeysNeeded, resolved
from spindle.store.rows import MembershipRow, UserRow
from tests.core.heart import Heart, open_heart
from tests.support.identity_provider import (
    IdentityProvider,
    identity_provider,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.context import AuthenticatedContext

SECRET = "a-shared-secret-of-thirty-two-bytes!"
ALGORITHMS = ["RS256", "ES256", "EdDSA"]


@asynccontextmanager
async def trusting(
    home: Path, *, known: bool = True, **keys: Any
) -> AsyncGenerator[tuple[Heart, IdentityProvider]]:
    """A core that accepts the tokens of a provider; Ann is in the teams red and blue."""
    async with identity_provider() as provider:
        issuer = {
            "issuer": provider.url,
            "audiences": ["spindle-api"],
            "algorithms": ALGORITHMS,
            "jwks_url": f"{provider.url}/jwks",
            **keys,
        }

        async with open_heart(home, f"auth: {json.dumps({'jwt': [issuer]})}\n") as heart:
            for team in ("red", "blue"):
                await heart.core.store.teams.create(team, "")

            if known:
                await add_person(heart, "ann@example.com", "red", "blue")

            await heart.core.snapshots.refresh()
            yield heart, provider


async def add_person(heart: Heart, email: str, *teams: str, admin: bool = False) -> None:
    store = heart.core.store
    await store.users.create(UserRow(email=email, is_admin=admin))

    for team in teams:
        await store.teams.put_member(MembershipRow(email=email, team=team, role="developer"))


async def resolve(heart: Heart, text: str) -> AuthenticatedContext:
    """Resolve as the ingress does: wait for what is needed."""
    try:
        return heart.resolve(text)
    except KeysNeeded as missing:
        return await resolved(partial(heart.resolve, text), missing)


def keys_of(heart: Heart) -> PublishedKeys:
    assert heart.core.federation is not None
    (issuer,) = heart.core.federation.callers.issuers
    assert isinstance(issuer.keys, PublishedKeys)
    return issuer.keys


def rest(heart: Heart, seconds: float = 11.0) -> None:
    """Let the time between two fetches pass."""
    keys = keys_of(heart)
    clock = keys.clock
    keys.clock = lambda: clock() + seconds
