"""The attempts of one admitted call: the permit's record, then its alternatives, in order.

A provider is asked again, and another one asked, only before the first byte of an answer reached
the client, only when the failure is not the request's own, and only as often as the provider's
record, the model's triggers and the permit's limits allow. The first attempt that goes well costs
nothing of that.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio

from spindle_llm.providers.dialect import Dialect, Encoded
from spindle_llm.relay.journal import Exclusion
from spindle_llm.routing.faults import TRIGGERS, Fault, fault_of, retries_for
from spindle_llm.routing.pauses import pause_before
from spindle_llm.routing.shown_headers import shown_headers
from spindle_llm.routing.upstreams import Upstream
from spindle_spi.admission import Attempt, Permit
from spindle_spi.errors import (
    FailedPrecondition,
    GatewayError,
    Origin,
    RateLimited,
    Unavailable,
    UpstreamError,
)
from spindle_spi.records import CatalogRecord, ModelSpec, ProviderSpec
from spindle_transport.exchange import UpstreamRequest, UpstreamResponse

if TYPE_CHECKING:
    from spindle_llm.relay.journal import Journal
    from spindle_llm.routing.upstreams import Upstreams

_ERROR_BODY_LIMIT = 64 * 1024
_BYTES_PER_TOKEN = 4

D = TypeVar("D", bound=Dialect)


@dataclass(slots=True, kw_only=True)
class Ask(Generic[D]):
    """What is asked, whoever answers.

    One is made for every call: not frozen, which costs three times as much. Nobody changes it.
    """

    choose: Callable[[ModelSpec, Upstream], D]
    """Returns the dialect in which one candidate is asked."""
    encode: Callable[[D, ModelSpec, Upstream], Encoded]
    """Writes the request for one candidate."""
    receive: Callable[[Opened[D]], Awaitable[None]] | None = None
    """Reads what has to be there before an attempt counts as good: a whole answer, the first event
    of a stream. What it raises is the attempt's failure, and somebody else may be asked."""
    stream: bool = False
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Headers of the client that go on to the upstream."""
    deadline: float | None = None


class Opened(Generic[D]):
    """A good answer that begins; whoever gets it closes it."""

    __slots__ = ("_journal", "_upstream", "dialect", "record", "response", "sent_bytes")

    def __init__(
        self,
        response: UpstreamResponse,
        upstream: Upstream,
        record: CatalogRecord,
        dialect: D,
        sent_bytes: int,
        journal: Journal,
    ) -> None:
        self.response = response
        self.record = record
        self.dialect = dialect
        """The dialect it speaks."""
        self.sent_bytes = sent_bytes
        self._upstream = upstream
        self._journal = journal

    def broke(self, error: UpstreamError) -> None:
        """Note that it failed after it had begun: nobody else is asked any more."""
        self._upstream.standing.broke(time.perf_counter(), error)
        self._journal.last_attempt_broke(error.code)

    async def aclose(self, *, patience: float = 0.0) -> None:
        """Let go of it."""
        rates = self._upstream.standing.rates

        if rates is not None and (usage := self._journal.usage) is not None:
            used = usage.input_tokens + usage.output_tokens
            rates.correct(time.monotonic(), used - self.sent_bytes // _BYTES_PER_TOKEN)

        try:
            await self.response.aclose(patience=patience)
        finally:
            await self._upstream.line.release()


class _Excluded(Exception):
    """A candidate is not asked at all; `error` is what the client gets when nobody else is."""

    def __init__(self, error: GatewayError, trigger: str) -> None:
        super().__init__(error.code)
        self.error = error
        self.trigger = trigger


async def open_first(
    upstreams: Upstreams, permit: Permit, ask: Ask[D], journal: Journal
) -> Opened[D]:
    """Return the first good answer; every attempt is noted in the journal.

    Raises:
        InvalidArgument: The upstream says the request is wrong.
        RateLimited: The upstream's limits are exhausted, or what this gateway may send it.
        Unavailable: Every provider is left alone for a while.
        UpstreamError: The upstream failed, or cannot be reached.
    """
    failure: GatewayError | None = None
    excluded: list[GatewayError] = []
    trigger = ""
    spec = permit.record.spec
    triggers = spec.fallback_on if isinstance(spec, ModelSpec) else ()

    for record, backend in candidates(permit):
        if trigger and trigger not in triggers:
            journal.exclude(Exclusion(record, f"not on {trigger}"))
            continue

        try:
            opened = await _asked(upstreams, permit, record, backend, ask, journal)
        except _Excluded as exc:
            excluded.append(exc.error)
            trigger = exc.trigger
            continue
        except GatewayError as exc:
            fault = fault_of(exc)

            if fault is Fault.REQUEST and (
                record is permit.record or exc.origin is Origin.UPSTREAM
            ):
                # A wrong request is wrong everywhere.
                raise

            failure = exc
            trigger = TRIGGERS.get(fault, "error")
            continue

        if record is not permit.record:
            journal.served_by = record.name

        return opened

    if failure is not None:
        raise failure

    raise _nobody(excluded)


def candidates(permit: Permit) -> Iterator[tuple[CatalogRecord, CatalogRecord]]:
    """Yield what may answer a call, in order: each model with its provider.

    Raises:
        FailedPrecondition: The model has no provider.
    """
    backend = permit.backend

    if backend is None:
        raise FailedPrecondition("The model has no provider.", code="llm.model.no_provider")

    yield permit.record, backend
    others = zip(permit.alternatives, permit.alternative_backends, strict=False)

    for _, candidate in zip(range(permit.limits.max_attempts - 1), others, strict=False):
        yield candidate


async def _asked(
    upstreams: Upstreams,
    permit: Permit,
    record: CatalogRecord,
    backend: CatalogRecord,
    ask: Ask[D],
    journal: Journal,
) -> Opened[D]:
    """Ask one candidate, and again as often as its provider's record and the failure allow."""
    started = time.perf_counter()

    try:
        upstream = await upstreams.get(backend)
    except GatewayError as exc:
        _note(journal, record, backend, exc.code, started)
        raise

    standing = upstream.standing
    deadline = _deadline(ask.deadline, upstream.spec)
    tries, waited = 0, 0.0

    while True:
        if standing.is_guarded and (wait := standing.refuses(time.perf_counter())) is not None:
            journal.exclude(Exclusion(record, "breaker open", wait))
            raise _Excluded(_left_alone(wait), "error")

        started = time.perf_counter()
        journal.upstream_status = None

        try:
            opened = await _attempted(upstream, record, ask, permit, journal, deadline)
        except GatewayError as exc:
            now, fault = time.perf_counter(), fault_of(exc)
            standing.failed(now, exc, fault)
            _note(journal, record, backend, exc.code, started, waited)
            most = upstream.spec.max_retries
            pause = None

            if tries < retries_for(exc, fault, journal.upstream_status, most):
                pause = pause_before(
                    tries,
                    base=upstreams.routing.backoff_seconds,
                    longest=upstreams.routing.longest_wait_seconds,
                    asked=exc.retry_after,
                    remaining=None if deadline is None else deadline - time.monotonic(),
                )

            if pause is None:
                raise
        except BaseException:
            # Rate-limited by ourselves, or nobody waits for it any more.
            standing.abandoned(time.perf_counter())
            raise
        else:
            now = time.perf_counter()
            standing.succeeded(now, now - started)
            _note(journal, record, backend, "ok", started, waited)
            return opened

        await anyio.sleep(pause)
        waited = pause * 1000
        tries += 1


async def _attempted(
    upstream: Upstream,
    record: CatalogRecord,
    ask: Ask[D],
    permit: Permit,
    journal: Journal,
    deadline: float | None,
) -> Opened[D]:
    spec = record.spec
    journal.headers = []

    if not isinstance(spec, ModelSpec):
        raise FailedPrecondition("This is no model.", code="llm.model.no_model")

    dialect = ask.choose(spec, upstream)
    encoded = ask.encode(dialect, spec, upstream)
    headers = upstream.headers[ask.stream]

    if ask.headers or encoded.headers:
        headers = {**headers, **ask.headers, **encoded.headers}

    urls = upstream.urls(dialect, spec.upstream_name)
    rates = upstream.standing.rates

    if rates is not None:
        wait = rates.take(time.monotonic(), len(encoded.body) // _BYTES_PER_TOKEN)

        if wait:
            journal.exclude(Exclusion(record, "rate", wait))
            raise _Excluded(_over_rate(wait), "rate_limit")

    request = UpstreamRequest(
        url=urls[0],
        headers=headers,
        body=encoded.body,
        silence=_silence(permit, record, upstream),
        deadline=deadline,
    )

    if len(urls) == 1:
        response = await upstream.open(request)
    else:
        response = await upstream.open_any(urls, request)

    opened = Opened(response, upstream, record, dialect, len(encoded.body), journal)

    try:
        journal.headers = shown_headers(response.headers, upstream.adapter)
        journal.dropped = encoded.dropped
        journal.upstream_status = response.status

        if 200 <= response.status < 300:
            if ask.receive is not None:
                await ask.receive(opened)

            return opened

        said = await _error_body(response)
        raise upstream.adapter.refusal(response.status, response.headers, said, upstream.key)
    except BaseException:
        await opened.aclose()
        raise


async def _error_body(response: UpstreamResponse) -> bytes:
    """Return what there is of a refusal's body, within bounds; its end does not matter."""
    said = b""

    try:
        async for data in response.chunks():
            said += data

            if len(said) > _ERROR_BODY_LIMIT:
                break
    except UpstreamError:
        pass

    return said[:_ERROR_BODY_LIMIT]


def _deadline(given: float | None, spec: ProviderSpec) -> float | None:
    """Return when all attempts at one provider must be over, on the monotonic clock."""
    if spec.timeout is None:
        return given

    own = time.monotonic() + spec.timeout
    return own if given is None else min(own, given)


def _silence(permit: Permit, record: CatalogRecord, upstream: Upstream) -> float | None:
    """Return how long an upstream may be silent; the permit's bound is made for its own record."""
    bound = permit.limits.timeout

    if record is permit.record or bound is None:
        return bound

    first = None if permit.backend is None else permit.backend.spec
    is_usual = isinstance(first, ProviderSpec) and bound == first.long_timeout
    return upstream.spec.long_timeout if is_usual else min(bound, upstream.spec.long_timeout)


def _over_rate(wait: float) -> RateLimited:
    return RateLimited(
        "The model's provider takes no more requests at the moment.",
        origin=Origin.MODULE,
        retry_after=wait,
    )


def _left_alone(wait: float) -> Unavailable:
    return Unavailable(
        "The model's provider has been failing and is left alone for a while.",
        code="llm.provider.resting",
        origin=Origin.UPSTREAM,
        retry_after=wait,
    )


def _nobody(excluded: list[GatewayError]) -> GatewayError:
    """Return what a client is told when nobody was asked: come back when the first is free."""
    limited = [error for error in excluded if isinstance(error, RateLimited)]
    waits = [error.retry_after or 0.0 for error in excluded]
    return _over_rate(min(waits)) if limited else _left_alone(min(waits))


def _note(
    journal: Journal,
    record: CatalogRecord,
    backend: CatalogRecord,
    outcome: str,
    started: float,
    waited: float = 0.0,
) -> None:
    journal.attempts += (
        Attempt(
            backend=backend.name,
            target=record.name,
            outcome=outcome,
            milliseconds=(time.perf_counter() - started) * 1000,
            status=journal.upstream_status,
            waited_ms=waited,
        ),
    )
