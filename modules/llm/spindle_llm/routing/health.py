"""How providers are: the read model of what attempts and probes left behind.

`HealthBoard` is the requirement's `HealthCache`: figures are made when somebody reads them and are
kept for a moment, so that reading often costs nothing, and they are never older than that. Whoever
reads for a client judges first whether the client may know of the provider.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from spindle_llm.providers.base import Condition
from spindle_llm.routing.asking import UpstreamInquiry
from spindle_llm.routing.breaker import BreakerState
from spindle_llm.routing.faults import Fault, fault_of
from spindle_spi.errors import GatewayError, RateLimited, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spindle_llm.routing.standing import LastError, Standing
    from spindle_llm.routing.upstreams import Upstream, Upstreams
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import JsonObject

GOOD_LATENCY_MS: Final = 5_000.0
"""Up to here latency costs nothing of the score."""
BAD_LATENCY_MS: Final = 60_000.0
"""From here on it costs half of it."""
HEALTHY_SCORE: Final = 0.5
"""Below it a provider is not healthy."""
_MOST_KEPT: Final = 4096

_WORDS: Final[dict[Fault, str]] = {
    Fault.RATE: "The provider's rate limit was reached.",
    Fault.QUOTA: "The provider's quota is exhausted.",
    Fault.CREDENTIAL: "The provider does not accept the gateway's credential.",
}
_CODE_WORDS: Final = {
    "upstream_timeout": "The provider did not answer in time.",
    "upstream_unreachable": "The provider cannot be reached.",
    "upstream_certificate": "The provider's certificate is not accepted.",
    "upstream_cut": "The provider cut its answer.",
    "upstream_closed": "The provider closed the connection.",
    "upstream_garbage": "The provider sent something that is no answer.",
    "upstream_overloaded": "The provider is overloaded.",
    "upstream_too_large": "The provider's answer is too large.",
}


class RateLimitStatus(StrEnum):
    """Whether a provider takes what this gateway sends it."""

    OK = "OK"
    THROTTLED = "THROTTLED"
    """It answered 429 and its wait is not over, or its own limits are nearly used up."""
    BLOCKED = "BLOCKED"
    """Its quota is exhausted, it refuses our credential, or its breaker is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One member of a fallback chain."""

    provider_id: str
    provider: str
    is_healthy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderHealth:
    """How one provider is."""

    provider_id: str
    is_healthy: bool = True
    score: float = 1.0
    """From 0 to 1; see `score_of`."""
    calls: int = 0
    """In the last minute, as are the next two."""
    error_count: int = 0
    average_latency: float | None = None
    """Milliseconds; None when nothing was answered."""
    last_error: str | None = None
    """A code, what it means, and when it was. Nothing that the provider said."""
    last_success_timestamp: float | None = None
    """Seconds since the epoch."""
    rate_limit_status: RateLimitStatus = RateLimitStatus.OK
    breaker: BreakerState = BreakerState.CLOSED
    chain: tuple[Link, ...] = ()
    """The providers that answer in its place, in order."""

    def shown(self) -> JsonObject:
        """Return it as JSON, under the names above."""
        return {
            "provider_id": self.provider_id,
            "is_healthy": self.is_healthy,
            "score": self.score,
            "calls": self.calls,
            "error_count": self.error_count,
            "average_latency": self.average_latency,
            "last_error": self.last_error,
            "last_success_timestamp": self.last_success_timestamp,
            "rate_limit_status": self.rate_limit_status.value,
            "breaker": self.breaker.value,
            "chain": [
                {
                    "provider_id": link.provider_id,
                    "provider": link.provider,
                    "is_healthy": link.is_healthy,
                }
                for link in self.chain
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateHealth:
    """How several providers are together."""

    is_healthy: bool
    """At least one of them is, or there is none."""
    healthy: int
    total: int
    score: float
    """The mean of theirs."""
    error_count: int
    average_latency: float | None
    """Milliseconds, over all calls that were answered."""
    rate_limit_status: RateLimitStatus
    """The worst of theirs."""
    providers: tuple[ProviderHealth, ...] = ()


def score_of(error_rate: float, average_latency: float | None) -> float:
    """Return how good a provider is: the part of calls that go well, less up to half for latency.

    `(1 - error_rate) * (1 - lateness / 2)`, where lateness is 0 up to `GOOD_LATENCY_MS`, 1 from
    `BAD_LATENCY_MS` on, and grows evenly in between. Without an answered call there is none.
    """
    latency = 0.0 if average_latency is None else average_latency
    lateness = (latency - GOOD_LATENCY_MS) / (BAD_LATENCY_MS - GOOD_LATENCY_MS)
    lateness = min(1.0, max(0.0, lateness))
    return (1.0 - min(1.0, max(0.0, error_rate))) * (1.0 - lateness / 2)


def sanitised(error: LastError) -> str:
    """Return a failure in its one form for readers: code, our words, time."""
    words = _WORDS.get(error.fault) or _CODE_WORDS.get(error.code, "The provider failed.")
    at = datetime.fromtimestamp(error.at, UTC).isoformat(timespec="seconds")
    return f"{error.code}: {words} ({at})"


class HealthBoard:
    """Reads how providers are, and asks them."""

    def __init__(self, upstreams: Upstreams, *, ttl: float = 1.0) -> None:
        """Read what attempts left in `upstreams`; figures may be `ttl` seconds old."""
        self._upstreams = upstreams
        self._ttl = ttl
        self._kept: dict[str, tuple[float, ProviderHealth]] = {}

    def of(self, provider_id: str, chain: Sequence[CatalogRecord] = ()) -> ProviderHealth:
        """Return how a provider is; one that nobody asked yet is well.

        `chain` are the records of its fallbacks, as far as the reader may know of them.
        """
        health = self._own(provider_id)

        if not chain:
            return health

        links = tuple(
            Link(
                provider_id=record.id,
                provider=record.name,
                is_healthy=self._own(record.id).is_healthy,
            )
            for record in chain
        )
        return replace(health, chain=links)

    def aggregate(self, provider_ids: Iterable[str]) -> AggregateHealth:
        """Return how some providers are together."""
        each = tuple(self.of(provider_id) for provider_id in provider_ids)
        answered = [
            (health.average_latency, health.calls - health.error_count)
            for health in each
            if health.average_latency is not None
        ]
        calls = sum(count for _, count in answered)
        healthy = sum(health.is_healthy for health in each)
        order = list(RateLimitStatus)
        return AggregateHealth(
            is_healthy=healthy > 0 or not each,
            healthy=healthy,
            total=len(each),
            score=sum(health.score for health in each) / len(each) if each else 1.0,
            error_count=sum(health.error_count for health in each),
            average_latency=(
                sum(latency * count for latency, count in answered) / calls if calls else None
            ),
            rate_limit_status=max(
                (health.rate_limit_status for health in each),
                key=order.index,
                default=RateLimitStatus.OK,
            ),
            providers=each,
        )

    async def probe(self, upstream: Upstream) -> ProviderHealth:
        """Ask a provider whether it is there, and return how it is then.

        One that has nothing to be asked is only read.
        """
        inquiry = UpstreamInquiry(upstream)
        url = upstream.adapter.health_url(inquiry.base)

        if url is not None:
            started = time.perf_counter()

            try:
                condition = upstream.adapter.condition(await inquiry.get(url))
                _judge(condition)
            except GatewayError as exc:
                upstream.standing.failed(time.perf_counter(), exc, fault_of(exc))
            else:
                now = time.perf_counter()
                upstream.standing.succeeded(now, now - started)

        self._kept.pop(upstream.record.id, None)
        return self.of(upstream.record.id)

    def _own(self, provider_id: str) -> ProviderHealth:
        now = time.perf_counter()
        kept = self._kept.get(provider_id)

        if kept is not None and now < kept[0]:
            return kept[1]

        standing = self._upstreams.standing(provider_id)

        if standing is None:
            self._kept.pop(provider_id, None)
            return ProviderHealth(provider_id=provider_id)

        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()

        health = health_of(provider_id, standing, now)
        self._kept[provider_id] = (now + self._ttl, health)
        return health


def health_of(provider_id: str, standing: Standing, now: float) -> ProviderHealth:
    """Return how a provider is by its standing; `now` is of the performance counter."""
    recent = standing.window.recent(now)
    score = score_of(recent.error_rate, recent.average_latency)
    status = _rate_limit_status(standing, now)
    return ProviderHealth(
        provider_id=provider_id,
        is_healthy=status is not RateLimitStatus.BLOCKED and score >= HEALTHY_SCORE,
        score=score,
        calls=recent.calls,
        error_count=recent.errors,
        average_latency=recent.average_latency,
        last_error=None if standing.last_error is None else sanitised(standing.last_error),
        last_success_timestamp=standing.last_success,
        rate_limit_status=status,
        breaker=standing.breaker.state,
    )


def _rate_limit_status(standing: Standing, now: float) -> RateLimitStatus:
    if standing.blocked_by is not None or standing.breaker.state is not BreakerState.CLOSED:
        return RateLimitStatus.BLOCKED

    rates = standing.rates

    if now < standing.throttled_until or (rates is not None and rates.is_near(time.monotonic())):
        return RateLimitStatus.THROTTLED

    return RateLimitStatus.OK


def _judge(condition: Condition) -> None:
    """Raise what a probe's answer stands for, when it is not a good one."""
    match condition:
        case Condition.OK:
            return
        case Condition.UNAUTHORIZED:
            raise UpstreamError("Not accepted.", code="upstream_auth", retryable=False)
        case Condition.THROTTLED:
            raise RateLimited("Too fast.")
        case Condition.DOWN:
            raise UpstreamError("Down.")
