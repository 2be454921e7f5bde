"""What a collector is told of the calls of models: spans of attempts, measures of both kinds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spindle_spi.admission import Attempt, Embedded, Estimate, Outcome, Status, TokenUsage
from spindle_spi.context import TraceContext
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from tests.core.heart import Heart
from tests.core.telemetry.test_otlp import CLIENT, open_core
from tests.support.otlp_collector import OtlpCollector, attributes_of, running_collector

if TYPE_CHECKING:
    from pathlib import Path

FAILED = Attempt(
    backend="up", target="up~open", outcome="upstream_timeout", milliseconds=20, status=504
)
GOOD = Attempt(
    backend="up", target="up~red", outcome="ok", milliseconds=10, status=200, waited_ms=5
)
FALLEN_BACK = Outcome(
    status=Status.OK,
    usage=TokenUsage(
        input_tokens=10,
        output_tokens=5,
        cache_read_tokens=4,
        cache_write_tokens=3,
        reasoning_tokens=2,
    ),
    attempts=(FAILED, GOOD),
    total_ms=75,
    first_byte_ms=35,
    stream=True,
    served_by="up~red",
    finish_reasons=("stop",),
    response_id="chatcmpl-1",
    response_bytes=321,
)
WHOLE = replace(
    FALLEN_BACK,
    attempts=(replace(FAILED, outcome="ok", status=200),),
    total_ms=21,
    stream=False,
    served_by=None,
)


async def told(
    home: Path, *outcomes: Outcome, estimate: Estimate | None = None, parent: str | None = CLIENT
) -> OtlpCollector:
    """Settle calls of one model, and return what the collector got."""
    with running_collector() as collector:
        core = await open_core(home, f"{{otlp_endpoint: '{collector.url}', sample_ratio: 0}}")
        caller = await Heart(core).caller("red", "blue", admin=False)
        context = replace(caller, trace=TraceContext(request_id="req_9", traceparent=parent))
        target = Target(kind=Kind.MODEL, name="up~open")

        for outcome in outcomes:
            permit = core.admission.admit(context, target, Action.EXECUTE, estimate)
            await core.admission.settle(permit.id, outcome)

        await core.close()

    return collector


def points(collector: OtlpCollector, name: str) -> list[tuple[dict[str, Any], Any]]:
    """Return the points of a histogram with their attributes."""
    return [
        (attributes_of(point), point) for point in collector.metrics[name].histogram.data_points
    ]


@pytest.mark.requirement("003-chat-span")
async def test_a_fallback_is_a_call_and_below_it_two_attempts(tmp_path: Path) -> None:
    """The call's span is the request's child, and has a client's span for each attempt below it."""
    collector = await told(tmp_path, FALLEN_BACK)
    call, first, second = (
        collector.span(name) for name in ("chat up~open", "chat open", "chat red")
    )
    assert call.trace_id == first.trace_id == second.trace_id == bytes.fromhex("a" * 32)
    assert call.parent_span_id == bytes.fromhex("b" * 16)
    assert first.parent_span_id == second.parent_span_id == call.span_id
    assert (call.kind, first.kind, second.kind) == (1, 3, 3)
    assert attributes_of(first) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "open",
        "gen_ai.request.stream": True,
        "gateway.attempt": 1,
        "http.response.status_code": 504,
        "server.address": "127.0.0.1",
        "server.port": 9,
        "error.type": "upstream_timeout",
    }
    assert attributes_of(second) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "red",
        "gen_ai.request.stream": True,
        "gateway.attempt": 2,
        "gateway.attempt.waited_ms": 5.0,
        "gateway.fallback.from": "up~open",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": 9,
    }


@pytest.mark.requirement("003-chat-span")
async def test_the_span_of_a_call_tells_what_it_came_to(tmp_path: Path) -> None:
    """Models, latency, usage, cost and what was decided are attributes of the call's span."""
    estimate = Estimate(max_output_tokens=64, choices=2)
    collector = await told(tmp_path, FALLEN_BACK, estimate=estimate)
    shown = attributes_of(collector.span("chat up~open"))
    assert shown.pop("gateway.route.id").startswith("pm_")
    assert shown == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "up~open",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.choice.count": 2,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "up~red",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": pytest.approx(0.035),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.cache_creation.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "gateway.request.id": "req_9",
        "gateway.call.status": "ok",
        "gateway.module": "llm",
        "gateway.policy.decision": "allow",
        "gateway.fallback.from": "up~open",
        "gateway.response.bytes": 321,
    }


async def test_the_span_of_a_priced_call_has_its_cost(tmp_path: Path) -> None:
    """A dollar for a million tokens in, two for as many out."""
    collector = await told(tmp_path, WHOLE)
    shown = attributes_of(collector.span("chat up~open"))
    assert shown["gateway.cost.usd"] == pytest.approx(20e-6)


async def test_attempts_follow_each_other_within_their_call(tmp_path: Path) -> None:
    """An attempt begins after the one before and its wait; the last lasts as long as its stream."""
    collector = await told(tmp_path, FALLEN_BACK)
    call, first, second = (
        collector.span(name) for name in ("chat up~open", "chat open", "chat red")
    )
    assert first.start_time_unix_nano == call.start_time_unix_nano
    assert first.end_time_unix_nano - first.start_time_unix_nano == 20_000_000
    assert second.start_time_unix_nano - first.end_time_unix_nano == 5_000_000
    assert second.end_time_unix_nano == call.end_time_unix_nano
    assert call.end_time_unix_nano - call.start_time_unix_nano == 75_000_000


async def test_attempts_that_were_made_at_once_stay_within_their_call(tmp_path: Path) -> None:
    """Batches overlap: none of their spans begins before the call, or ends after it."""
    batch = replace(GOOD, target="up~open", milliseconds=30, waited_ms=0)
    collector = await told(tmp_path, replace(WHOLE, attempts=(batch, batch, batch), total_ms=40))
    call = collector.span("chat up~open")
    batches = [span for span in collector.spans if span.name == "chat open"]
    assert len(batches) == 3

    for span in batches:
        assert call.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= call.end_time_unix_nano
        assert span.end_time_unix_nano - span.start_time_unix_nano == 30_000_000


@pytest.mark.requirement("003-chat-span")
async def test_a_failure_is_an_exception_by_its_code(tmp_path: Path) -> None:
    """A failed call and its failed attempt have the status, the type and the event of it."""
    failed = Outcome(
        status=Status.ERROR, attempts=(FAILED,), total_ms=22, error_code="upstream_timeout"
    )
    collector = await told(tmp_path, failed)

    for name in ("chat up~open", "chat open"):
        span = collector.span(name)
        assert span.status.code == 2
        assert span.status.message == ""
        assert attributes_of(span)["error.type"] == "upstream_timeout"
        (event,) = span.events
        assert event.name == "exception"
        assert attributes_of(event) == {"exception.type": "upstream_timeout"}
        assert event.time_unix_nano == span.end_time_unix_nano

    assert "gen_ai.response.model" not in attributes_of(collector.span("chat up~open"))


async def test_what_was_refused_before_anybody_was_asked_has_no_attempt(tmp_path: Path) -> None:
    """A plugin's refusal is a denied call without children, and no measure of a client."""
    denied = Outcome(status=Status.DENIED, total_ms=1, error_code="core.plugin.denied")
    collector = await told(tmp_path, denied)
    (span,) = collector.spans
    assert attributes_of(span)["gateway.policy.decision"] == "deny"
    assert "gen_ai.client.operation.duration" not in collector.metrics
    ((labels, _),) = points(collector, "gen_ai.server.request.duration")
    assert labels["error.type"] == "core.plugin.denied"


async def test_an_answer_from_memory_asked_nobody(tmp_path: Path) -> None:
    """A hit of the cache has no attempt, and says so; its dimension is told."""
    hit = Outcome(
        status=Status.OK,
        usage=TokenUsage(),
        total_ms=1,
        cache_hit=True,
        embedded=Embedded(count=1, dimension=8, cached_count=1),
    )
    collector = await told(tmp_path, hit)
    (span,) = collector.spans
    assert attributes_of(span)["gateway.cache.hit"] is True
    assert attributes_of(span)["gen_ai.embeddings.dimension.count"] == 8
    assert "gen_ai.client.operation.duration" not in collector.metrics


async def test_an_answer_whose_owner_tells_no_attempts_made_one(tmp_path: Path) -> None:
    """A module need not tell its attempts: what it answered, it answered at once."""
    collector = await told(tmp_path, replace(WHOLE, attempts=()))
    assert attributes_of(collector.span("chat open"))["gateway.attempt"] == 1
    ((_, point),) = points(collector, "gen_ai.client.operation.duration")
    assert point.sum == pytest.approx(0.021)


async def test_clients_measures_are_of_attempts(tmp_path: Path) -> None:
    """Each attempt is measured under its own model, a failed one with its error."""
    collector = await told(tmp_path, FALLEN_BACK, parent=None)
    assert collector.spans == []
    named = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}
    durations = points(collector, "gen_ai.client.operation.duration")
    assert [(labels, point.sum) for labels, point in durations] == [
        (
            {**named, "gen_ai.request.model": "open", "error.type": "upstream_timeout"},
            pytest.approx(0.020),
        ),
        # Twenty-five milliseconds had gone by, and the stream ended at seventy-five.
        ({**named, "gen_ai.request.model": "red"}, pytest.approx(0.050)),
    ]
    ((labels, point),) = points(collector, "gen_ai.client.operation.time_to_first_chunk")
    assert (labels["gen_ai.request.model"], point.sum) == ("red", pytest.approx(0.010))
    tokens = {
        (labels["gen_ai.request.model"], labels["gen_ai.token.type"]): point.sum
        for labels, point in points(collector, "gen_ai.client.token.usage")
    }
    assert tokens == {("red", "input"): 10, ("red", "output"): 5}


async def test_servers_measures_are_of_calls(tmp_path: Path) -> None:
    """A call is measured once, under the name it was made by, with the buckets agreed upon."""
    collector = await told(tmp_path, FALLEN_BACK, WHOLE, parent=None)
    duration = points(collector, "gen_ai.server.request.duration")
    assert {labels["gen_ai.response.model"]: point.sum for labels, point in duration} == {
        "up~red": pytest.approx(0.075),
        "up~open": pytest.approx(0.021),
    }
    assert {labels["gen_ai.request.model"] for labels, _ in duration} == {"up~open"}
    ((_, first),) = points(collector, "gen_ai.server.time_to_first_token")
    assert first.sum == pytest.approx(0.035)
    assert list(first.explicit_bounds)[-3:] == [5.0, 7.5, 10.0]
    ((_, each),) = points(collector, "gen_ai.server.time_per_output_token")
    # Forty milliseconds for the four tokens after the first.
    assert each.sum == pytest.approx(0.010)
    assert list(each.explicit_bounds)[:2] == [0.01, 0.025]
    assert list(duration[0][1].explicit_bounds)[-1] == 81.92


async def test_a_model_the_permit_does_not_name_is_no_label(tmp_path: Path) -> None:
    """What a module makes up is counted under one name, however many it makes up."""
    made_up = [
        replace(
            WHOLE,
            attempts=(replace(GOOD, target=f"new~{number}", backend=f"new{number}"),),
            served_by=f"new~{number}",
        )
        for number in range(3)
    ]
    collector = await told(tmp_path, *made_up, parent=None)
    ((labels, point),) = points(collector, "gen_ai.client.operation.duration")
    assert labels["gen_ai.request.model"] == labels["gen_ai.provider.name"] == "_OTHER"
    assert point.count == 3
    ((labels, point),) = points(collector, "gen_ai.server.request.duration")
    assert (labels["gen_ai.response.model"], point.count) == ("_OTHER", 3)
