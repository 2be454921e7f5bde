"""Spans and measures at a real collector: what operators see of every call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle.config import load_settings
from spindle.core import Core
from spindle.telemetry.otlp import parse_headers
from spindle_spi.admission import Attempt, Outcome, Status, TokenUsage
from spindle_spi.context import AuthenticatedContext, TraceContext
from spindle_spi.errors import FailedPrecondition
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from tests.core.heart import CONFIGURATION, Heart
from tests.support.otlp_collector import OtlpCollector, attributes_of, running_collector

if TYPE_CHECKING:
    from pathlib import Path

CLIENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


async def open_core(home: Path, telemetry: str) -> Core:
    path = home / "spindle.yaml"
    path.write_text(f"{CONFIGURATION}\ntelemetry: {telemetry}\n")
    return await Core.open(load_settings(path, home=home, environ={}))


def traced(context: AuthenticatedContext, traceparent: str | None = CLIENT) -> AuthenticatedContext:
    return replace(context, trace=TraceContext(request_id="req_9", traceparent=traceparent))


async def call(core: Core, kind: Kind, name: str, outcome: Outcome, *, is_traced: bool) -> None:
    caller = await Heart(core).caller("red", "blue", admin=False)
    context = traced(caller, CLIENT if is_traced else None)
    permit = core.admission.admit(context, Target(kind=kind, name=name), Action.EXECUTE)
    await core.admission.settle(permit.id, outcome)


FALLEN_BACK = Outcome(
    status=Status.OK,
    usage=TokenUsage(input_tokens=10, output_tokens=5, cache_read_tokens=4),
    attempts=(
        Attempt(backend="up", target="up~open", outcome="upstream.timeout", milliseconds=20),
        Attempt(backend="up", target="up~red", outcome="ok", milliseconds=30),
    ),
    total_ms=50,
    first_byte_ms=25,
    stream=True,
    served_by="up~red",
    finish_reasons=("stop",),
)


@pytest.fixture
def headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTLP", "x-tenant=blue,authorization=Basic c2VjcmV0")


async def sent(home: Path, *, is_traced: bool = True) -> OtlpCollector:
    with running_collector() as collector:
        core = await open_core(
            home,
            f"{{otlp_endpoint: '{collector.url}', sample_ratio: 0, service_name: gate,"
            " otlp_headers_env_var: OTLP}",
        )
        await call(core, Kind.MODEL, "up~open", FALLEN_BACK, is_traced=is_traced)
        failed = Outcome(status=Status.ERROR, error_code="mcp.tool.error", total_ms=7)
        await call(core, Kind.TOOL, "ask", failed, is_traced=is_traced)
        await core.close()

    return collector


@pytest.mark.usefixtures("headers")
async def test_a_tool_call_is_one_span_that_names_its_error(tmp_path: Path) -> None:
    collector = await sent(tmp_path)
    shown = attributes_of(collector.span("tools/call ask"))
    assert shown["mcp.method.name"] == "tools/call"
    assert shown["gen_ai.operation.name"] == "execute_tool"
    assert shown["gen_ai.tool.name"] == "ask"
    assert shown["error.type"] == "mcp.tool.error"


@pytest.mark.usefixtures("headers")
async def test_measures_arrive_under_the_names_of_the_conventions(tmp_path: Path) -> None:
    collector = await sent(tmp_path, is_traced=False)
    assert collector.spans == []
    duration = collector.metrics["gen_ai.client.operation.duration"]
    assert duration.unit == "s"
    (point,) = [
        point
        for point in duration.histogram.data_points
        if "error.type" not in attributes_of(point)
    ]
    assert (point.count, point.sum) == (1, pytest.approx(0.03))
    assert list(point.explicit_bounds)[:3] == [0.01, 0.02, 0.04]
    assert attributes_of(point) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "red",
    }
    tokens = {
        attributes_of(point)["gen_ai.token.type"]: point.sum
        for point in collector.metrics["gen_ai.client.token.usage"].histogram.data_points
    }
    assert tokens == {"input": 10, "output": 5}
    calls = collector.metrics["spindle_calls_total"].sum
    assert calls.is_monotonic
    assert {attributes_of(point)["kind"] for point in calls.data_points} == {"model", "tool"}
    assert "mcp.client.operation.duration" in collector.metrics
    assert collector.metrics["gen_ai.client.operation.time_to_first_chunk"].unit == "s"


@pytest.mark.usefixtures("headers")
async def test_headers_go_to_the_collector_and_nowhere_else(tmp_path: Path) -> None:
    collector = await sent(tmp_path)
    assert all(headers["x-tenant"] == "blue" for headers in collector.headers)
    assert all(headers["authorization"] == "Basic c2VjcmV0" for headers in collector.headers)
    assert all(b"c2VjcmV0" not in body for body in collector.bodies)


async def test_a_collector_that_refuses_disturbs_nobody(tmp_path: Path) -> None:
    with running_collector() as collector:
        collector.status = 400
        core = await open_core(tmp_path, f"{{otlp_endpoint: '{collector.url}'}}")
        await call(core, Kind.MODEL, "up~open", FALLEN_BACK, is_traced=True)
        await core.close()
        assert collector.bodies != []


async def test_headers_that_are_not_there_stop_the_start_with_their_name(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="OTLP"):
        await open_core(
            tmp_path, "{otlp_endpoint: 'http://127.0.0.1:9', otlp_headers_env_var: OTLP}"
        )


def test_headers_are_read_in_the_usual_form() -> None:
    assert parse_headers("a=1, b = x=y ,broken,=z") == {"a": "1", "b": "x=y"}
