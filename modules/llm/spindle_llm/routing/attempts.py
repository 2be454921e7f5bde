"""The attempts of one admitted call: the permit's record, then its alternatives, in order.

Another backend is tried only before the first byte, only when the failure is not the request's own,
and only as often as the permit's limits allow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from spindle_llm.providers.dialect import Dialect, Encoded
from spindle_llm.relay.transport import UpstreamRequest, UpstreamResponse
from spindle_llm.routing.upstreams import Upstream
from spindle_spi.admission import Attempt, Permit
from spindle_spi.errors import FailedPrecondition, GatewayError, InvalidArgument, UpstreamError
from spindle_spi.records import CatalogRecord, ModelSpec

if TYPE_CHECKING:
    from spindle_llm.relay.journal import Journal
    from spindle_llm.routing.upstreams import Upstreams

_ERROR_BODY_LIMIT = 64 * 1024
_FORWARDED = frozenset({"openai-processing-ms", "openai-version"})
_RATE_LIMITS = "x-ratelimit-"

D = TypeVar("D", bound=Dialect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Generic[D]):
    """What is asked, whoever answers."""

    choose: Callable[[ModelSpec, Upstream], D]
    """Returns the dialect in which one candidate is asked."""
    encode: Callable[[D, ModelSpec, Upstream], Encoded]
    """Writes the request for one candidate."""
    stream: bool = False
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Headers of the client that go on to the upstream."""
    deadline: float | None = None


class Opened(Generic[D]):
    """A good answer that begins; whoever gets it closes it."""

    __slots__ = ("_upstream", "dialect", "record", "response", "sent_bytes")

    def __init__(
        self,
        response: UpstreamResponse,
        upstream: Upstream,
        record: CatalogRecord,
        dialect: D,
        sent_bytes: int,
    ) -> None:
        self.response = response
        self.record = record
        self.dialect = dialect
        """The dialect it speaks."""
        self.sent_bytes = sent_bytes
        self._upstream = upstream

    async def aclose(self, *, patience: float = 0.0) -> None:
        """Let go of it."""
        try:
            await self.response.aclose(patience=patience)
        finally:
            await self._upstream.line.release()


async def open_first(
    upstreams: Upstreams, permit: Permit, ask: Ask[D], journal: Journal
) -> Opened[D]:
    """Return the first good answer; every attempt is noted in the journal.

    Raises:
        InvalidArgument: The upstream says the request is wrong.
        RateLimited: The upstream's limits are exhausted.
        UpstreamError: The upstream failed, or cannot be reached.
    """
    failure: GatewayError | None = None

    for record, backend in candidates(permit):
        started = time.perf_counter()

        try:
            opened = await _open(upstreams, record, backend, ask, permit, journal)
        except InvalidArgument as exc:
            # A wrong request is wrong everywhere.
            _note(journal, record, backend, exc.code, started)
            raise
        except GatewayError as exc:
            _note(journal, record, backend, exc.code, started)
            failure = exc
            continue

        _note(journal, record, backend, "ok", started)
        journal.served_by = None if record is permit.record else record.name
        return opened

    assert failure is not None
    raise failure


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


async def _open(
    upstreams: Upstreams,
    record: CatalogRecord,
    backend: CatalogRecord,
    ask: Ask[D],
    permit: Permit,
    journal: Journal,
) -> Opened[D]:
    spec = record.spec
    journal.headers = []

    if not isinstance(spec, ModelSpec):
        raise FailedPrecondition("This is no model.", code="llm.model.no_model")

    upstream = await upstreams.get(backend)
    dialect = ask.choose(spec, upstream)
    encoded = ask.encode(dialect, spec, upstream)
    headers = upstream.headers[ask.stream]

    if ask.headers or encoded.headers:
        headers = {**headers, **ask.headers, **encoded.headers}

    request = UpstreamRequest(
        url=upstream.url(dialect, spec.upstream_name),
        headers=headers,
        body=encoded.body,
        silence=permit.limits.timeout,
        deadline=ask.deadline,
    )
    response = await upstream.open(request)
    opened = Opened(response, upstream, record, dialect, len(encoded.body))

    try:
        journal.headers = _shown(response.headers, upstream.adapter.shown_headers(response.headers))
        journal.dropped = encoded.dropped

        if 200 <= response.status < 300:
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


def _shown(headers: Mapping[str, str], own: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return the upstream's headers that a client may see, with those its adapter adds."""
    shown: list[tuple[bytes, bytes]] = []

    for name, value in headers.items():
        lower = name.lower()

        if lower in _FORWARDED or lower.startswith(_RATE_LIMITS):
            shown.append((lower.encode("latin-1"), value.encode("latin-1", "replace")))

    shown += [
        (name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in own.items()
    ]
    return shown


def _note(
    journal: Journal, record: CatalogRecord, backend: CatalogRecord, outcome: str, started: float
) -> None:
    journal.attempts += (
        Attempt(
            backend=backend.name,
            target=record.name,
            outcome=outcome,
            milliseconds=(time.perf_counter() - started) * 1000,
        ),
    )
