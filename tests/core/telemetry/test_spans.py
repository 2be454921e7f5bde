"""Which requests are traced, and under which ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spindle.telemetry.spans import Span, Tracing, child_of, is_sampled
from spindle_spi.context import TraceContext
from tests.core.ingress.support import HOST, one_route

if TYPE_CHECKING:
    from spindle_spi.ingress import Call
    from spindle_spi.types import Receive, Scope, Send

CLIENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
UNSAMPLED = CLIENT[:-1] + "0"


async def fail(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
    del scope, receive, send, call
    raise RuntimeError("broken")


class Sink:
    """Keeps spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def take(self, span: Span) -> None:
        self.spans.append(span)


def tracing(ratio: float = 0.0, *, trust_parent: bool = True) -> tuple[Tracing, Sink]:
    sink = Sink()
    return Tracing(sink, sample_ratio=ratio, trust_parent=trust_parent), sink


def trace(traceparent: str | None = None) -> TraceContext:
    return TraceContext(request_id="req_1", traceparent=traceparent)


def test_a_client_that_samples_is_followed_under_its_own_trace() -> None:
    begun, parent = tracing()[0].begin(trace(CLIENT))
    assert begun.traceparent is not None
    assert begun.traceparent[3:35] == "a" * 32
    assert begun.traceparent[36:52] != "b" * 16
    assert begun.traceparent.endswith("-01")
    assert parent == "b" * 16
    assert is_sampled(begun)


@pytest.mark.parametrize("said", [None, UNSAMPLED])
def test_what_is_not_sampled_goes_on_as_it_came(said: str | None) -> None:
    before = trace(said)
    assert tracing()[0].begin(before) == (before, None)
    assert child_of(before) is None


def test_a_client_that_is_not_believed_is_handed_on_as_not_sampled() -> None:
    begun, parent = tracing(trust_parent=False)[0].begin(trace(CLIENT))
    assert begun.traceparent == f"{CLIENT[:-2]}00"
    assert parent is None


def test_every_request_is_sampled_at_a_ratio_of_one() -> None:
    begun, parent = tracing(1.0)[0].begin(trace())
    assert is_sampled(begun)
    assert parent is None
    begun, parent = tracing(1.0)[0].begin(trace(UNSAMPLED))
    assert is_sampled(begun)
    assert parent == "b" * 16


def test_about_the_share_that_was_asked_for_is_sampled() -> None:
    sampler = tracing(0.25)[0]
    sampled = sum(is_sampled(sampler.begin(trace())[0]) for _ in range(4000))
    assert 800 < sampled < 1200


def test_children_name_the_request_as_their_parent() -> None:
    begun, _ = tracing(1.0)[0].begin(trace())
    first, second = child_of(begun), child_of(begun)
    assert begun.traceparent is not None
    assert first is not None
    assert second is not None
    assert first[:2] == (begun.traceparent[3:35], begun.traceparent[36:52])
    assert first[2] != second[2]


async def test_a_request_leaves_one_span_with_its_route_and_never_its_path() -> None:
    tracer, sink = tracing()
    harness = one_route(path="/things/{id}", tracing=tracer)
    answer = await harness.ask(
        "POST", "/things/private", headers=(HOST, (b"traceparent", CLIENT.encode()))
    )
    assert answer.status == 200
    (span,) = sink.spans
    assert span.name == "POST /things/{id}"
    assert span.kind == "server"
    assert (span.trace_id, span.parent_id) == ("a" * 32, "b" * 16)
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["http.route"] == "/things/{id}"
    assert span.error is None
    assert span.end >= span.start
    (seen,) = harness.callers.traces
    assert seen.traceparent is not None
    assert seen.traceparent[36:52] == span.span_id


@pytest.mark.parametrize(("path", "status", "error"), [("/nowhere", 404, None), ("/do", 401, None)])
async def test_a_refused_request_has_its_span_too(
    path: str, status: int, error: str | None
) -> None:
    tracer, sink = tracing()
    harness = one_route(tracing=tracer)
    answer = await harness.ask(
        "POST", path, token=None, headers=(HOST, (b"traceparent", CLIENT.encode()))
    )
    assert answer.status == status
    spans = [span.attributes["http.response.status_code"] for span in sink.spans]
    # What has no route begins no trace: nobody decided anything about it.
    assert spans == ([] if status == 404 else [status])
    assert all(span.error == error for span in sink.spans)


async def test_a_failure_of_the_server_is_an_error_of_its_span() -> None:
    tracer, sink = tracing()
    harness = one_route(fail, tracing=tracer)
    answer = await harness.ask("POST", "/do", headers=(HOST, (b"traceparent", CLIENT.encode())))
    assert answer.status == 500
    assert [span.error for span in sink.spans] == ["500"]


async def test_nothing_is_traced_without_a_sink() -> None:
    harness = one_route()
    await harness.ask("POST", "/do", headers=(HOST, (b"traceparent", CLIENT.encode())))
    (seen,) = harness.callers.traces
    assert seen.traceparent == CLIENT
