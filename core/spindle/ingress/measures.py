"""What is measured of every request, by route, method and status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle.ingress.exchange import Exchange
    from spindle.ingress.routes import Mount

_CLIENT_LEFT = 499
"""Status of a request whose client left before an answer began."""

REQUESTS = "spindle_http_requests_total"
SECONDS = "spindle_http_request_seconds"
BYTES = "spindle_http_response_bytes_total"


class Series(Protocol):
    """One counter or histogram with its labels."""

    def add(self, value: float) -> None:
        """Add a value."""
        ...


class Meter(Protocol):
    """Counters and histograms; `spindle.telemetry.metrics.Metrics` is it."""

    def counter(self, name: str, labels: Mapping[str, str] | None = None) -> Series:
        """Return a counter."""
        ...

    def histogram(self, name: str, labels: Mapping[str, str] | None = None) -> Series:
        """Return a histogram."""
        ...


class _Measures:
    """The series of requests that differ in nothing that is a label."""

    __slots__ = ("bytes", "labels", "requests", "seconds")

    def __init__(self, meter: Meter, route: str, method: str, status: int) -> None:
        self.labels = {"route": route, "method": method, "status": str(status)}
        self.requests = meter.counter(REQUESTS, self.labels)
        self.seconds = meter.histogram(SECONDS, self.labels)
        self.bytes = meter.counter(BYTES, self.labels)


class RequestMeasures:
    """Measures requests. Bounded by the routes, their methods and the statuses there are."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._known: dict[tuple[str, str, int], _Measures] = {}

    def add(
        self, exchange: Exchange, mount: Mount | None, method: str, seconds: float
    ) -> Mapping[str, str]:
        """Measure a request that has ended; return its labels."""
        route = "unknown" if mount is None else mount.path
        # A method is the client's word, so one that is no route's gets no label of its own.
        place = (route, "other" if mount is None else method, exchange.status or _CLIENT_LEFT)
        measures = self._known.get(place)

        if measures is None:
            measures = self._known[place] = _Measures(self._meter, *place)

        measures.requests.add(1.0)
        measures.seconds.add(seconds)
        measures.bytes.add(exchange.sent)
        return measures.labels
