"""Counters and histograms of the process, in Prometheus text form.

Bounded: names, label sets per name, and the cache in front of them. Label sets beyond the bound
are counted together under the label value `other`. Recording never fails the caller.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from spindle.telemetry.semconv import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_MAX_NAMES = 500
_MAX_SERIES = 1000
_MAX_CACHED = 20_000

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180)
_BUCKETS: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("_seconds", _SECONDS),
    ("_ms", tuple(bound * 1000 for bound in _SECONDS)),
    ("_bytes", tuple(float(4**power) for power in range(3, 15))),
    ("", tuple(float(2**power) for power in range(17))),
)

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One measure with all its label sets, for whoever sends it on."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    numbers: Sequence[tuple[Labels, float]] = ()
    histograms: Sequence[tuple[Labels, Sequence[float], Sequence[int], float]] = ()
    """Labels, bounds, counts by bucket (one more than bounds), and the sum."""


class Counter:
    """One counter with its labels; a caller may keep it."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, value: float) -> None:
        """Add; a value below zero is ignored, counters only rise."""
        if value >= 0:
            self.value += value


class Values:
    """One histogram with its labels; a caller may keep it."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Add a value; what is no number is ignored."""
        if value == value:
            self.counts[bisect_left(self.bounds, value)] += 1
            self.total += value


@dataclass(frozen=True, slots=True)
class _Family:
    """All series of one name."""

    counters: dict[Labels, Counter] = field(default_factory=dict[Labels, Counter])
    histograms: dict[Labels, Values] = field(default_factory=dict[Labels, Values])


class Metrics:
    """What the process counts. One event loop uses it; there are no locks."""

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        # By name and labels in the order the caller wrote them: no sorting on the hot path.
        self._counters: dict[tuple[str, Labels], Counter] = {}
        self._histograms: dict[tuple[str, Labels], Values] = {}

    def count(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Add to a counter; a value below zero is ignored, counters only rise."""
        if value >= 0:
            self.counter(name, labels).value += value

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Add a value to a histogram; its bounds follow the unit the name ends in."""
        self.histogram(name, labels).add(value)

    def counter(self, name: str, labels: Mapping[str, str] | None = None) -> Counter:
        """Return a counter, for who adds to it often."""
        key = (name, tuple(labels.items()) if labels else ())
        return self._counters.get(key) or self._find_counter(key)

    def histogram(self, name: str, labels: Mapping[str, str] | None = None) -> Values:
        """Return a histogram, for who adds to it often; bounds follow the unit of its name."""
        key = (name, tuple(labels.items()) if labels else ())
        return self._histograms.get(key) or self._find_histogram(key)

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """Show a gauge that is read whenever somebody asks for the metrics."""
        self._gauges[_clean(name)] = read

    def render(self) -> bytes:
        """Return everything as Prometheus text."""
        return "".join(f"{line}\n" for line in self._lines()).encode()

    def series(self) -> Iterator[Series]:
        """Yield every measure as data."""
        for name, family in sorted(self._families.items()):
            if family.counters:
                values = [(labels, counter.value) for labels, counter in family.counters.items()]
                yield Series(name=name, kind="counter", numbers=values)

            if family.histograms:
                shown = f"{name}_distribution" if family.counters else name
                rows = [
                    (labels, histogram.bounds, tuple(histogram.counts), histogram.total)
                    for labels, histogram in family.histograms.items()
                ]
                yield Series(name=shown, kind="histogram", histograms=rows)

        for name, read in sorted(self._gauges.items()):
            yield Series(name=name, kind="gauge", numbers=[((), float(read()))])

    def _find_counter(self, key: tuple[str, Labels]) -> Counter:
        family = self._family(key[0])
        labels = _bounded(family.counters, key[1])
        counter = family.counters.setdefault(labels, Counter())

        if len(self._counters) < _MAX_CACHED:
            self._counters[key] = counter

        return counter

    def _find_histogram(self, key: tuple[str, Labels]) -> Values:
        name = key[0]
        family = self._family(name)
        labels = _bounded(family.histograms, key[1])
        histogram = family.histograms.get(labels)

        if histogram is None:
            histogram = family.histograms[labels] = Values(_bounds_of(name))

        if len(self._histograms) < _MAX_CACHED:
            self._histograms[key] = histogram

        return histogram

    def _family(self, name: str) -> _Family:
        name = _clean(name)

        if name not in self._families and len(self._families) >= _MAX_NAMES:
            name = "spindle_other"

        return self._families.setdefault(name, _Family())

    def _lines(self) -> Iterator[str]:
        for name, family in sorted(self._families.items()):
            if family.counters:
                yield f"# TYPE {name} counter"

                for labels, counter in sorted(family.counters.items()):
                    yield f"{name}{_labelled(labels)} {_number(counter.value)}"

            if family.histograms:
                # A name used both ways keeps both, apart: one name may have one type only.
                shown = f"{name}_distribution" if family.counters else name
                yield f"# TYPE {shown} histogram"

                for labels, histogram in sorted(family.histograms.items()):
                    yield from _histogram_lines(shown, labels, histogram)

        for name, read in sorted(self._gauges.items()):
            yield f"# TYPE {name} gauge"
            yield f"{name} {_number(read())}"


def _bounds_of(name: str) -> tuple[float, ...]:
    fixed = BOUNDS.get(name)

    if fixed is not None:
        return fixed

    return next(bounds for unit, bounds in _BUCKETS if name.endswith(unit))


def _bounded(series: Mapping[Labels, object], labels: Labels) -> Labels:
    known = tuple(sorted((_clean(name), value) for name, value in labels))

    if known in series or len(series) < _MAX_SERIES:
        return known

    return tuple((name, "other") for name, _ in known)


def _histogram_lines(name: str, labels: Labels, histogram: Values) -> Iterator[str]:
    seen = 0

    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        seen += count
        yield f"{name}_bucket{_labelled((*labels, ('le', _number(bound))))} {seen}"

    seen += histogram.counts[-1]
    yield f"{name}_bucket{_labelled((*labels, ('le', '+Inf')))} {seen}"
    yield f"{name}_sum{_labelled(labels)} {_number(histogram.total)}"
    yield f"{name}_count{_labelled(labels)} {seen}"


def _labelled(labels: Labels) -> str:
    shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{shown}}}" if shown else ""


def _escaped(value: str) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return escaped.encode("utf-8", "replace").decode()


def _number(value: float) -> str:
    exact = float(value)
    return str(int(exact)) if exact.is_integer() else repr(exact)


def _clean(name: str) -> str:
    cleaned = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    return f"_{cleaned}" if cleaned[:1].isdigit() or not cleaned else cleaned
