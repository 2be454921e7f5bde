"""Counters, histograms and gauges, and the bounds that keep them small."""

from __future__ import annotations

import re

import pytest

from spindle.telemetry.metrics import Metrics


def lines(metrics: Metrics) -> list[str]:
    return metrics.render().decode().splitlines()


def test_counters_add_up_by_label_set() -> None:
    """The order in which labels are written makes no difference."""
    metrics = Metrics()
    metrics.count("calls_total", labels={"kind": "model", "status": "ok"})
    metrics.count("calls_total", 2, {"status": "ok", "kind": "model"})
    metrics.count("calls_total", labels={"kind": "tool", "status": "ok"})
    metrics.count("plain_total", 0.5)

    assert lines(metrics) == [
        "# TYPE calls_total counter",
        'calls_total{kind="model",status="ok"} 3',
        'calls_total{kind="tool",status="ok"} 1',
        "# TYPE plain_total counter",
        "plain_total 0.5",
    ]


def test_a_histogram_is_cumulative_and_has_sum_and_count() -> None:
    """Buckets hold what is at most their bound; +Inf holds everything."""
    metrics = Metrics()

    for value in (0.001, 0.002, 1000):
        metrics.observe("call_seconds", value, {"kind": "tool"})

    shown = lines(metrics)
    assert 'call_seconds_bucket{kind="tool",le="0.001"} 1' in shown
    assert 'call_seconds_bucket{kind="tool",le="0.0025"} 2' in shown
    assert 'call_seconds_bucket{kind="tool",le="180"} 2' in shown
    assert 'call_seconds_bucket{kind="tool",le="+Inf"} 3' in shown
    assert 'call_seconds_sum{kind="tool"} 1000.003' in shown
    assert 'call_seconds_count{kind="tool"} 3' in shown


@pytest.mark.parametrize(
    ("name", "bound"),
    [("a_seconds", "0.001"), ("a_ms", "1"), ("a_bytes", "64"), ("a_tokens", "1")],
)
def test_bounds_follow_the_unit_of_the_name(name: str, bound: str) -> None:
    """The first bound is that of the unit."""
    metrics = Metrics()
    metrics.observe(name, 0)

    assert lines(metrics)[1] == f'{name}_bucket{{le="{bound}"}} 1'


def test_one_name_used_both_ways_stays_valid() -> None:
    """A name may have one type only; the histogram moves aside."""
    metrics = Metrics()
    metrics.count("both")
    metrics.observe("both", 1)

    assert [line for line in lines(metrics) if line.startswith("#")] == [
        "# TYPE both counter",
        "# TYPE both_distribution histogram",
    ]


def test_a_gauge_is_read_when_somebody_asks() -> None:
    """The newest value is shown."""
    metrics = Metrics()
    values = iter([1, 2.5])
    metrics.watch("open_permits", lambda: next(values))

    assert lines(metrics)[-1] == "open_permits 1"
    assert lines(metrics)[-1] == "open_permits 2.5"


def test_strange_names_and_values_make_no_broken_line() -> None:
    """Whatever a module says, the text can be read line by line."""
    metrics = Metrics()
    metrics.count("1 bad-näme", labels={"a b": 'quote " back \\ line \n surrogate \ud800'})
    metrics.count("")
    metrics.observe("weird", float("inf"))
    metrics.observe("weird", float("nan"))
    metrics.count("weird_total", -1)
    metrics.count("weird_total", float("nan"))

    for line in lines(metrics):
        assert re.fullmatch(r"# TYPE \w+ \w+|\w+(\{.*\})? \S+", line)

    assert "weird_count 1" in lines(metrics)
    assert not [line for line in lines(metrics) if line.startswith("weird_total")]


def test_label_sets_are_bounded_and_nothing_is_lost() -> None:
    """Beyond the bound everything is counted under `other`."""
    metrics = Metrics()

    for number in range(5000):
        metrics.count("calls_total", labels={"user": str(number)})
        metrics.observe("call_ms", 1, {"user": str(number)})

    counted = [line for line in lines(metrics) if line.startswith("calls_total")]
    assert len(counted) == 1001
    assert 'calls_total{user="other"} 4000' in counted
    assert 'call_ms_count{user="other"} 4000' in lines(metrics)


def test_names_are_bounded() -> None:
    """A module that invents names fills one name in the end."""
    metrics = Metrics()

    for number in range(2000):
        metrics.count(f"name_{number}")

    shown = [line for line in lines(metrics) if not line.startswith("#")]
    assert len(shown) == 501
    assert "spindle_other 1500" in shown
