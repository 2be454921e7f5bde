"""What a caller cannot be resolved without, and how to get it: not done on the request path."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from spindle_spi.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_RETRY_SECONDS = 2.0
_MOST_STEPS = 2

T = TypeVar("T")


class KeysNeeded(Unavailable):
    """Something has to be fetched first: see `resolved`.

    Who cannot wait passes it on: it is an honest 503.
    """

    def __init__(self, prepare: Callable[[], Awaitable[None]]) -> None:
        super().__init__(
            "The credential cannot be checked at the moment.",
            code="core.auth.not_ready",
            retry_after=_RETRY_SECONDS,
        )
        self.prepare = prepare


async def resolved(resolve: Callable[[], T], missing: KeysNeeded) -> T:
    """Get what is missing, then resolve again: first the keys, and then perhaps the person.

    Raises:
        GatewayError: As `resolve` does.
    """
    for _ in range(_MOST_STEPS):
        await missing.prepare()

        try:
            return resolve()
        except KeysNeeded as another:
            missing = another

    raise missing


def unready() -> Unavailable:
    """Return the error for a credential whose issuer's keys are not to be had."""
    return Unavailable(
        "The keys of this token's issuer are not available at the moment.",
        code="core.auth.keys_unavailable",
        retry_after=_RETRY_SECONDS,
    )
