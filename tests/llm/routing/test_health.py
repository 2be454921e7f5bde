"""The health of providers: what attempts and probes leave, in figures and in words of our own."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_conformance.fakes import FakeHost
from spindle_conformance.upstreams.server import Ending, Play, ScriptedServer
from spindle_llm.providers.registry import adapters
from spindle_llm.routing.breaker import BreakerRules, BreakerState
from spindle_llm.routing.faults import Fault, fault_of
from spindle_llm.routing.health import HealthBoard, RateLimitStatus, health_of, score_of
from spindle_llm.routing.settings import RoutingSettings
from spindle_llm.routing.standing import Standing
from spindle_llm.routing.upstreams import Upstreams
from spindle_llm.routing.window import Window
from spindle_spi.errors import GatewayError, InvalidArgument, Origin, RateLimited, UpstreamError
from tests.llm.support.providers import script
from tests.llm.support.records import SPEC, provider

if TYPE_CHECKING:
    from spindle_llm.routing.health import ProviderHealth

pytestmark = pytest.mark.requirement("003-chat-health")

RULES = BreakerRules(failures=2, cooldown=10.0)
SECRET = "sk-canary-0123456789"


def _standing() -> Standing:
    return Standing(RULES)


def _failed(standing: Standing, error: GatewayError, now: float = 1.0) -> ProviderHealth:
    standing.failed(now, error, fault_of(error))
    return health_of("p", standing, now)


def test_one_that_nobody_asked_is_well() -> None:
    """There is nothing against it."""
    health = health_of("p", _standing(), 0.0)
    assert (health.is_healthy, health.score, health.rate_limit_status) == (True, 1.0, "OK")
    assert (health.last_error, health.last_success_timestamp, health.average_latency) == (None,) * 3


def test_calls_that_go_well_are_averaged() -> None:
    """In milliseconds, with the time of the last one."""
    standing = _standing()
    standing.succeeded(1.0, 0.1)
    standing.succeeded(2.0, 0.3)
    health = health_of("p", standing, 2.0)
    assert (health.calls, health.error_count) == (2, 0)
    assert health.average_latency == pytest.approx(200.0)
    assert health.last_success_timestamp == pytest.approx(time.time(), abs=60)


def test_failures_are_counted_for_a_minute() -> None:
    """Then they are forgotten; the last one stays known."""
    standing = _standing()
    before = _failed(standing, UpstreamError("x"))
    assert (before.error_count, before.score, before.is_healthy) == (1, 0.0, False)
    after = health_of("p", standing, 75.0)
    assert (after.error_count, after.score, after.is_healthy) == (0, 1.0, True)
    assert after.last_error is not None


def test_the_last_error_is_ours_alone() -> None:
    """A code, our words and a time, whatever the upstream said."""
    error = UpstreamError(f"it said {SECRET}", code="upstream_timeout")
    shown = _failed(_standing(), error).last_error
    assert shown is not None
    assert shown.startswith("upstream_timeout: The provider did not answer in time. (20")
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RateLimited("x", origin=Origin.UPSTREAM, retry_after=5.0), RateLimitStatus.THROTTLED),
        (RateLimited("x", retryable=False, code="insufficient_quota"), RateLimitStatus.BLOCKED),
        (UpstreamError("x", code="upstream_auth", retryable=False), RateLimitStatus.BLOCKED),
        (UpstreamError("x"), RateLimitStatus.OK),
    ],
)
def test_the_rate_limit_status_follows_what_the_provider_said(
    error: GatewayError, status: RateLimitStatus
) -> None:
    """Until its wait is over, or until something goes well."""
    standing = _standing()
    assert _failed(standing, error).rate_limit_status is status
    standing.succeeded(6.5, 0.1)
    assert health_of("p", standing, 6.5).rate_limit_status is RateLimitStatus.OK


def test_a_provider_near_its_own_limits_is_throttled() -> None:
    """Ours are as good as theirs."""
    standing = _standing()
    standing.configure(replace(SPEC, requests_per_minute=1))
    assert standing.rates is not None
    standing.rates.take(time.monotonic(), 0)
    assert health_of("p", standing, 0.0).rate_limit_status is RateLimitStatus.THROTTLED


def test_an_open_breaker_blocks() -> None:
    """And says so."""
    standing = _standing()
    _failed(standing, UpstreamError("x"))
    health = _failed(standing, UpstreamError("x"))
    assert health.breaker is BreakerState.OPEN
    assert health.rate_limit_status is RateLimitStatus.BLOCKED
    assert not health.is_healthy


def test_a_refused_request_is_an_answer() -> None:
    """It counts for nothing, and closes a breaker that was trying."""
    standing = _standing()
    _failed(standing, UpstreamError("x"))
    _failed(standing, UpstreamError("x"))
    assert standing.refuses(20.0) is None
    ours = InvalidArgument("cannot be said")
    standing.failed(20.0, ours, Fault.REQUEST)
    assert standing.breaker.state is BreakerState.OPEN
    assert standing.refuses(20.0) is None
    theirs = InvalidArgument("no", origin=Origin.UPSTREAM)
    assert _failed(standing, theirs, 20.0).breaker is BreakerState.CLOSED


def test_an_answer_that_breaks_counts_as_failed() -> None:
    """It is not two calls."""
    standing = _standing()
    standing.succeeded(1.0, 0.1)
    standing.broke(2.0, UpstreamError("x", code="upstream_cut"))
    health = health_of("p", standing, 2.0)
    assert (health.calls, health.error_count) == (1, 1)
    assert health.last_error is not None
    assert health.last_error.startswith("upstream_cut")


@given(st.floats(0, 1), st.none() | st.floats(0, 200_000))
def test_the_score_is_a_part_of_one(rate: float, latency: float | None) -> None:
    """It falls with errors, and with latency by half at most."""
    score = score_of(rate, latency)
    assert 0.0 <= score <= 1.0
    assert score <= score_of(rate, None)
    assert score >= score_of(rate, None) / 2
    assert score <= score_of(0.0, latency)


def test_the_score_by_example() -> None:
    """The formula of the reference page."""
    assert score_of(0.0, 5_000.0) == 1.0
    assert score_of(0.25, 1.0) == 0.75
    assert score_of(0.0, 60_000.0) == 0.5
    assert score_of(0.0, 32_500.0) == 0.75
    assert score_of(1.0, None) == 0.0


@given(st.lists(st.tuples(st.floats(0, 15), st.booleans()), max_size=80))
def test_a_window_holds_what_is_younger_than_a_minute(steps: list[tuple[float, bool]]) -> None:
    """Nothing that is older, and everything that is younger than fifty seconds."""
    window, now, seen = Window(), 100.0, list[tuple[float, bool]]()

    for passed, is_good in steps:
        now += passed
        seen.append((now, is_good))

        if is_good:
            window.succeeded(now, 1.0)
        else:
            window.failed(now)

        recent = window.recent(now)
        assert sum(at > now - 50.0 for at, _ in seen) <= recent.calls
        assert recent.calls <= sum(at > now - 60.0 for at, _ in seen)
        assert recent.errors <= sum(not good and at > now - 60.0 for at, good in seen)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("play", "is_healthy", "status", "code"),
    [
        (Play(body=b"{}"), True, RateLimitStatus.OK, None),
        (Play(status=401, body=SECRET.encode()), False, RateLimitStatus.BLOCKED, "upstream_auth"),
        (Play(status=429), False, RateLimitStatus.THROTTLED, "rate_limit_exceeded"),
        (Play(status=503, body=SECRET.encode()), False, RateLimitStatus.OK, "upstream_error"),
        (Play(silent=True, ending=Ending.HANG), False, RateLimitStatus.OK, "upstream_timeout"),
    ],
)
async def test_a_probe_asks_and_leaves_what_it_found(
    play: Play, is_healthy: bool, status: RateLimitStatus, code: str | None
) -> None:
    """Figures are kept for a moment, and read anew after a probe."""
    server = ScriptedServer(handler=script(play))
    upstreams = Upstreams(FakeHost([]).services_for("llm"), adapters())
    board = HealthBoard(upstreams, ttl=60.0)
    found: list[ProviderHealth] = []

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            url = await group.start(_serve, server)
            record = provider(url=url, spec=replace(SPEC, short_timeout=0.2))
            assert board.of(record.id).is_healthy
            found.append(await board.probe(await upstreams.get(record)))
            assert board.of(record.id) is found[0]
            await upstreams.close()
            group.cancel_scope.cancel()

    (health,) = found
    assert (health.is_healthy, health.rate_limit_status) == (is_healthy, status)
    assert SECRET not in str(health.shown())

    if code is None:
        assert health.last_error is None
    else:
        assert health.last_error is not None
        assert health.last_error.startswith(f"{code}: ")


async def _serve(
    server: ScriptedServer, *, task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED
) -> None:
    await server.serve(0, task_status.started)


@pytest.mark.anyio
async def test_figures_may_be_as_old_as_they_may_be() -> None:
    """The read model is eventually consistent, and bounded in how far."""
    upstreams = Upstreams(FakeHost([]).services_for("llm"), adapters(), routing=RoutingSettings())
    upstream = await upstreams.get(provider(url="http://a"))
    old, fresh = HealthBoard(upstreams, ttl=3600.0), HealthBoard(upstreams, ttl=0.0)
    assert old.of(upstream.record.id).calls == fresh.of(upstream.record.id).calls == 0
    upstream.standing.succeeded(time.perf_counter(), 0.1)
    assert (old.of(upstream.record.id).calls, fresh.of(upstream.record.id).calls) == (0, 1)
    await upstreams.forget(upstream.record.id)
    assert fresh.of(upstream.record.id).calls == 0
    await upstreams.close()


@pytest.mark.anyio
async def test_a_chain_and_an_aggregate_are_made_of_single_providers() -> None:
    """The worst status, all errors, the mean score; of a chain, who of it is well."""
    upstreams = Upstreams(FakeHost([]).services_for("llm"), adapters())
    one, two = provider("one", url="http://a"), provider("two", url="http://b")
    (await upstreams.get(one)).standing.succeeded(time.perf_counter(), 0.2)
    refused = UpstreamError("x", code="upstream_auth", retryable=False)
    (await upstreams.get(two)).standing.failed(time.perf_counter(), refused, fault_of(refused))
    board = HealthBoard(upstreams)
    health = board.of(one.id, [two])
    assert [(link.provider, link.is_healthy) for link in health.chain] == [("two", False)]
    whole = board.aggregate([one.id, two.id])
    assert (whole.is_healthy, whole.healthy, whole.total, whole.error_count) == (True, 1, 2, 1)
    assert whole.average_latency == pytest.approx(200.0)
    assert (whole.score, whole.rate_limit_status) == (0.5, RateLimitStatus.BLOCKED)
    nobody = board.aggregate([])
    assert (nobody.is_healthy, nobody.score, nobody.average_latency) == (True, 1.0, None)
    await upstreams.close()
