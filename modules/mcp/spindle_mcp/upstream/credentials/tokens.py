"""Access tokens while they hold: fetched once however many wait, kept within bounds."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio

from spindle_mcp.upstream.credentials.faults import ServerFailed
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

_MOST: Final = 10_000
_SKEW_SECONDS: Final = 30.0
"""How long before its end a token is replaced; of a short-lived one, the last quarter."""
_USUAL_SECONDS: Final = 300.0
"""Lifetime of a token whose server does not say."""
_LONGEST_SECONDS: Final = 86_400.0
_TOKEN = re.compile(r"[\x21-\x7e]{1,32768}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token, and until when it is used (seconds since the epoch)."""

    secret: Secret
    fresh_until: float


Fetch: TypeAlias = Callable[[], Awaitable[Token]]


class _Flight:
    """One fetch; whoever wants the same waits for it."""

    __slots__ = ("done", "failure", "token")

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.token: Token | None = None
        self.failure: Exception | None = None


class TokenCache:
    """Tokens by whom they are for."""

    def __init__(self, clock: Callable[[], float] = time.time, *, most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self._tokens: OrderedDict[str, Token] = OrderedDict()
        self._flights: dict[str, _Flight] = {}

    async def get(self, key: str, fetch: Fetch) -> Token:
        """Return a token that holds, fetched by `fetch` if need be; its failure is raised.

        Who was cancelled while fetching fails nobody else: the next one fetches.
        """
        while True:
            token = self._tokens.get(key)

            if token is not None and token.fresh_until > self._clock():
                self._tokens.move_to_end(key)
                return token

            flight = self._flights.get(key)

            if flight is None:
                return await self._fly(key, fetch)

            await flight.done.wait()

            if flight.failure is not None:
                raise flight.failure

            if flight.token is not None:
                return flight.token

    def drop(self, key: str, value: str | None = None) -> None:
        """Forget a token; with a value, that one alone: a newer one is left."""
        token = self._tokens.get(key)

        if token is not None and value in (None, token.secret.reveal()):
            del self._tokens[key]

    async def _fly(self, key: str, fetch: Fetch) -> Token:
        flight = self._flights[key] = _Flight()

        try:
            flight.token = token = await fetch()
        except Exception as exc:
            flight.failure = exc
            raise
        finally:
            del self._flights[key]
            flight.done.set()

        self._tokens[key] = token

        if len(self._tokens) > self._most:
            self._tokens.popitem(last=False)

        return token


def lifetime_of(answer: JsonObject) -> float:
    """Return for how many seconds an answer's token is to be used."""
    said = answer.get("expires_in")

    if isinstance(said, str) and said.isascii() and said.isdigit():
        said = int(said)

    # Compared as it is: a whole number in JSON may be greater than any float. NaN is never inside.
    if isinstance(said, bool) or not isinstance(said, int | float) or not said > 0:
        seconds = _USUAL_SECONDS
    else:
        seconds = float(said) if said < _LONGEST_SECONDS else _LONGEST_SECONDS

    return seconds - min(_SKEW_SECONDS, seconds / 4)


def token_of(answer: JsonObject, now: float) -> Token:
    """Return the token in an answer.

    Raises:
        ServerFailed: There is none that could be sent.
    """
    value, kind = answer.get("access_token"), answer.get("token_type", "Bearer")

    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ServerFailed("its answer has no token")

    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise ServerFailed("its token is not of the type Bearer")

    return Token(secret=Secret(value), fresh_until=now + lifetime_of(answer))
