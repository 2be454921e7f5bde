"""Limits of requests and tokens in a minute, by token, user and team.

A call counts once for each of its holders. A refused one counts for none. Tokens are counted as
the request's size when the call begins and corrected when it ends.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from spindle.limits.rules import LimitRules, Rate
from spindle.limits.strangers import ANYWHERE, Strangers
from spindle.limits.windows import WINDOW, Mark, Meter, Window
from spindle_spi.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spindle.config.limits import LimitSettings
    from spindle.limits.slices import SliceMeter, Slices
    from spindle.store.limits import RateLimits
    from spindle_spi.context import AuthenticatedContext

__all__ = ["Limits", "Strangers", "Taken"]

_MOST_ADDRESSES = 10_000
"""Addresses counted apart in a minute; all further ones count together."""
_MOST_KNOWN = 20_000

Taken: TypeAlias = "tuple[tuple[Meter, Mark, int], ...]"
"""What a call counts for in tokens: to be corrected at its end."""


@dataclass(slots=True)
class _Holder:
    key: str
    requests: Meter | None
    tokens: Meter | None


class Limits:
    """Decides whether a caller may do one thing more this minute."""

    def __init__(
        self,
        settings: LimitSettings,
        *,
        rows: RateLimits | None = None,
        strangers: Strangers | None = None,
        is_production: bool = False,
    ) -> None:
        self._settings = settings
        self._rows = rows
        self._strangers = strangers or Strangers()
        self._read_rules: Callable[[LimitSettings], LimitRules] = LimitRules
        self._rules = LimitRules(settings)
        self._holders: dict[str, _Holder] = {}
        self._known: dict[tuple[str | None, str | None, str], tuple[_Holder, ...]] = {}
        self._addresses = 0
        self._sweep_at = time.monotonic() + WINDOW
        self._slices: Slices | None = None
        self.is_active = self._rules.is_active

        if settings.backend == "redis":
            # Not imported where it is not configured.
            from spindle.limits.slices import Slices

            self._slices = Slices(settings, is_production=is_production)

    @property
    def is_awaited(self) -> bool:
        """Whether `prepare` has to be awaited before `take`."""
        return self._slices is not None and self.is_active

    async def read(self) -> Callable[[], None]:
        """Read the limits that administrators set; see `spindle.snapshots.Follower`."""
        if self._rows is None:
            return lambda: None

        rows = await self._rows.all()
        knows_roles = LimitRules(self._settings, rows).knows_roles
        roles: Mapping[str, str] = await self._rows.roles() if knows_roles else {}

        def put() -> None:
            self._read_rules = partial(LimitRules, rows=rows, roles=roles)
            self.configure(self._settings)

        return put

    def configure(self, settings: LimitSettings) -> None:
        """Take other limits from the configuration, beside those that were read."""
        self._settings = settings
        self._rules = self._read_rules(settings)
        self.is_active = self._rules.is_active
        self._known.clear()

    def take(
        self, context: AuthenticatedContext, team: str | None = None, tokens: int = 1
    ) -> Taken:
        """Count one call of some tokens.

        Raises:
            RateLimited: A minute is full; says when the next call fits.
        """
        now = time.monotonic()

        if now >= self._sweep_at:
            self._forget_idle(now)

        holders = self._holders_of(context, team)

        for holder in holders:
            if holder.requests is not None and not holder.requests.has_room(now):
                raise _full(holder.key, holder.requests, "requests", now)

            if holder.tokens is not None and not holder.tokens.has_room(now):
                raise _full(holder.key, holder.tokens, "tokens", now)

        taken: list[tuple[Meter, Mark, int]] = []

        for holder in holders:
            if holder.requests is not None:
                holder.requests.add(now, 1)

            if holder.tokens is not None:
                taken.append((holder.tokens, holder.tokens.add(now, tokens), tokens))

        return tuple(taken)

    def settle(self, taken: Taken, tokens: int) -> None:
        """Count the tokens a call really used."""
        if taken:
            now = time.monotonic()

            for meter, mark, counted in taken:
                meter.correct(now, mark, tokens - counted)

    async def prepare(self, context: AuthenticatedContext, team: str | None, tokens: int) -> bool:
        """Fetch what is missing of shared allowances for one call; tells whether it had to.

        Raises:
            RateLimited: A minute is full.
            Unavailable: The backend is away, and then nothing is allowed.
        """
        has_waited = False

        if self._slices is None:
            return has_waited

        for holder in self._holders_of(context, team):
            for meter, amount in ((holder.requests, 1), (holder.tokens, tokens)):
                if meter is not None and not meter.has_room(time.monotonic()):
                    await self._slices.refill(_slice(meter), amount)
                    has_waited = True

        return has_waited

    async def close(self) -> None:
        """Let go of the backend."""
        if self._slices is not None:
            await self._slices.close()

    def tracked(self) -> int:
        """Return how many holders are remembered: those of the last two minutes."""
        return len(self._holders)

    def _holders_of(self, context: AuthenticatedContext, team: str | None) -> tuple[_Holder, ...]:
        subject = context.subject
        address = "" if subject.token_id else self._strangers.address_of(context.trace.request_id)
        place = (subject.token_id, team, address)
        found = self._known.get(place)

        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()

            rates = self._rules.of(subject, team, self._counted(address))
            found = self._known[place] = tuple(self._holder(key, rate) for key, rate in rates)

        return found

    def _counted(self, address: str) -> str:
        if not address or f"address:{address}" in self._holders:
            return address

        if self._addresses >= _MOST_ADDRESSES:
            return ANYWHERE

        self._addresses += 1
        return address

    def _holder(self, key: str, rate: Rate) -> _Holder:
        holder = self._holders.get(key)

        if holder is None:
            holder = self._holders[key] = _Holder(key, None, None)

        holder.requests = self._meter(f"{key}:requests", holder.requests, rate.requests)
        holder.tokens = self._meter(f"{key}:tokens", holder.tokens, rate.tokens)
        return holder

    def _meter(self, key: str, before: Meter | None, limit: int | None) -> Meter | None:
        if limit is None:
            return None

        if before is not None:
            # What was used stays used when the limit changes.
            before.limit = limit
            return before

        return Window(limit) if self._slices is None else self._slices.meter(key, limit)

    def _forget_idle(self, now: float) -> None:
        # Once in a window, however many there are: never a scan for each call.
        self._sweep_at = now + WINDOW
        self._holders = {
            key: holder
            for key, holder in self._holders.items()
            if not all(meter is None or meter.is_idle(now) for meter in _meters(holder))
        }
        self._addresses = sum(key.startswith("address:") for key in self._holders)
        self._known.clear()


def _meters(holder: _Holder) -> tuple[Meter | None, Meter | None]:
    return holder.requests, holder.tokens


def _slice(meter: Meter) -> SliceMeter:
    from spindle.limits.slices import SliceMeter

    assert isinstance(meter, SliceMeter)
    return meter


def _full(key: str, meter: Meter, what: str, now: float) -> RateLimited:
    scope = key.partition(":")[0]
    return RateLimited(
        f"More than {meter.limit} {what} in a minute for this {scope}.",
        code="rate_limit_exceeded",
        retry_after=meter.wait(now),
    )
