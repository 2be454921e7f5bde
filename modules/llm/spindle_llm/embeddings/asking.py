"""Asking a model's upstream for vectors: in batches it takes, a few at once, each one checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio

from spindle_llm.embeddings.query import size_of
from spindle_llm.embeddings.vectors import Vector
from spindle_llm.relay.journal import Journal
from spindle_llm.relay.reading import read_all
from spindle_llm.relay.usage import estimated_usage
from spindle_llm.routing.attempts import Ask, candidates, open_first
from spindle_llm.routing.defaults import missing_defaults
from spindle_llm.runtime import Runtime
from spindle_spi.admission import Permit, TokenUsage
from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import GatewayError, InvalidArgument, Unsupported, UpstreamError
from spindle_spi.records import ModelSpec, ProviderSpec
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from spindle_llm.embeddings.query import Input, Query
    from spindle_llm.providers.dialect import EmbeddingsDialect, Encoded
    from spindle_llm.routing.attempts import Opened
    from spindle_llm.routing.upstreams import Upstream
    from spindle_spi.records import CatalogRecord, RecordSpec
    from spindle_spi.types import Json

_AT_ONCE = 4
"""Batches of one request that are under way at the same time."""
_WRITTEN_NUMBER = 24
"""Bytes of one number of a vector, as the longest are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Whom one admitted request for embeddings asks, and what is the same for all its batches."""

    runtime: Runtime
    context: AuthenticatedContext
    permit: Permit
    """Of its alternatives only those that serve the same model."""
    spec: ModelSpec
    parameters: JsonObject
    """With the operator's defaults."""
    dimensions: int | None
    """How long the vectors have to be; None when neither request nor record says."""
    batch: int
    """Inputs of one call."""
    deadline: float | None = None

    async def ask(self, inputs: Sequence[Input], journal: Journal) -> list[Vector]:
        """Return the vector of every input, in order; the journal holds attempts and usage.

        Raises:
            InvalidArgument: The upstream says the request is wrong.
            RateLimited: The upstream's limits are exhausted.
            UpstreamError: The upstream failed, or sent other vectors than were asked for.
        """
        batches = [inputs[at : at + self.batch] for at in range(0, len(inputs), self.batch)]

        if len(batches) == 1 and journal.usage is None:
            vectors = await self._ask_one(batches[0], journal)
        else:
            vectors = await self._ask_all(batches, journal)

        if len({len(vector) for vector in vectors}) > 1:
            raise UpstreamError(
                "The upstream sent vectors of different lengths.", code="upstream_dimensions"
            )

        return vectors

    async def _ask_all(self, batches: Sequence[Sequence[Input]], journal: Journal) -> list[Vector]:
        vectors: dict[int, list[Vector]] = {}
        journals = [Journal() for _ in batches]
        failures: list[GatewayError] = []
        waiting = iter(enumerate(batches))

        async def work() -> None:
            for number, batch in waiting:
                try:
                    vectors[number] = await self._ask_one(batch, journals[number])
                except GatewayError as exc:
                    failures.append(exc)
                    group.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as group:
                for _ in range(min(_AT_ONCE, len(batches))):
                    group.start_soon(work)
        finally:
            _add(journal, journals)

        if failures:
            raise failures[0]

        return [vector for number in range(len(batches)) for vector in vectors[number]]

    async def _ask_one(self, inputs: Sequence[Input], journal: Journal) -> list[Vector]:
        vectors: list[Vector] = []

        async def receive(opened: Opened[EmbeddingsDialect]) -> None:
            nonlocal vectors
            data = await read_all(opened.response, self.runtime.settings.answer_limit_bytes)
            journal.first_byte()
            embedded = opened.dialect.decode(data)
            tokens = embedded.input_tokens
            # Even where the vectors are refused, the upstream has made them.
            journal.usage = (
                estimated_usage(request_bytes=size_of(inputs))
                if tokens is None
                else TokenUsage(input_tokens=tokens)
            )
            vectors = self._checked(embedded.vectors, len(inputs))

        ask = self._question(inputs, receive)
        opened = await open_first(self.runtime.upstreams, self.permit, ask, journal)
        await opened.aclose()
        return vectors

    def _checked(self, vectors: Sequence[Sequence[float]], count: int) -> list[Vector]:
        if len(vectors) != count:
            raise UpstreamError(
                f"The upstream sent {len(vectors)} embeddings for {count} inputs.",
                code="upstream_garbage",
            )

        wanted = self.dimensions or len(vectors[0])

        for numbers in vectors:
            if len(numbers) != wanted:
                raise UpstreamError(
                    f"The upstream sent a vector of {len(numbers)} dimensions, not {wanted}.",
                    code="upstream_dimensions",
                )

        return [Vector.of(numbers) for numbers in vectors]

    def _question(
        self,
        inputs: Sequence[Input],
        receive: Callable[[Opened[EmbeddingsDialect]], Awaitable[None]],
    ) -> Ask[EmbeddingsDialect]:
        said: list[Json] = [entry if isinstance(entry, str) else [*entry] for entry in inputs]

        def choose(spec: ModelSpec, upstream: Upstream) -> EmbeddingsDialect:
            return _dialect(upstream.adapter.embeddings(upstream.spec), spec)

        def encode(dialect: EmbeddingsDialect, spec: ModelSpec, upstream: Upstream) -> Encoded:
            del upstream
            request: JsonObject = {**self.parameters, "model": spec.upstream_name, "input": said}
            return dialect.encode(request, spec=spec)

        traceparent = self.context.trace.traceparent
        headers = {} if traceparent is None else {"traceparent": traceparent}
        return Ask(
            choose=choose,
            encode=encode,
            receive=receive,
            headers=headers,
            deadline=self.deadline,
        )


def asker_for(
    runtime: Runtime,
    context: AuthenticatedContext,
    permit: Permit,
    query: Query,
    *,
    deadline: float | None = None,
) -> Asker:
    """Return who is asked for a query under its permit.

    Vectors of two models cannot be compared, so an alternative counts only when it is the same
    model elsewhere: of the same upstream name, with vectors of the same length.

    Raises:
        InvalidArgument: Longer vectors are asked for than the model has.
        FailedPrecondition: The model has no provider.
        Unsupported: Its provider makes no embeddings.
    """
    spec = permit.record.spec
    assert isinstance(spec, ModelSpec)
    defaults = spec.defaults if "embedding" in spec.supports else {}
    parameters = {**missing_defaults(defaults, query.parameters), **query.parameters}
    wanted = parameters.get("dimensions")
    dimensions = wanted if isinstance(wanted, int) else spec.dimensions

    if dimensions is not None and spec.dimensions is not None and dimensions > spec.dimensions:
        raise InvalidArgument(
            f"dimensions must be at most {spec.dimensions}, which the model has.",
            code="llm.dimensions.invalid",
            param="dimensions",
        )

    _, backend = next(candidates(permit))
    dialect = _dialect(_dialect_of(runtime, backend), spec)
    others = [
        (record, backend, other.max_inputs)
        for record, backend in zip(permit.alternatives, permit.alternative_backends, strict=False)
        if _is_same(record.spec, spec) and (other := _dialect_of(runtime, backend)) is not None
    ]
    limits = [dialect.max_inputs, *(limit for _, _, limit in others)]
    fitting = runtime.settings.answer_limit_bytes // (_WRITTEN_NUMBER * (dimensions or 1))
    return Asker(
        runtime=runtime,
        context=context,
        permit=replace(
            permit,
            alternatives=tuple(record for record, _, _ in others),
            alternative_backends=tuple(backend for _, backend, _ in others),
        ),
        spec=spec,
        parameters=parameters,
        dimensions=dimensions,
        batch=max(1, min(*limits, fitting)),
        deadline=deadline,
    )


def _is_same(other: RecordSpec, spec: ModelSpec) -> bool:
    return (
        isinstance(other, ModelSpec)
        and other.upstream_name == spec.upstream_name
        and other.dimensions == spec.dimensions
    )


def _dialect_of(runtime: Runtime, backend: CatalogRecord) -> EmbeddingsDialect | None:
    provider = backend.spec

    if not isinstance(provider, ProviderSpec):
        return None

    return runtime.upstreams.adapter(provider).embeddings(provider)


def _dialect(dialect: EmbeddingsDialect | None, spec: ModelSpec) -> EmbeddingsDialect:
    if dialect is None:
        raise Unsupported(
            f"The provider {spec.provider!r} makes no embeddings.",
            code="llm.embeddings.unsupported",
            param="model",
        )

    return dialect


def _add(journal: Journal, parts: Sequence[Journal]) -> None:
    """Add to a request's journal what its batches came to, in their order."""
    usages = [part.usage for part in (journal, *parts) if part.usage is not None]
    firsts = [part.first_byte_at for part in (journal, *parts) if part.first_byte_at is not None]
    dropped = (name for part in (journal, *parts) for name in part.dropped)
    journal.exclusions += tuple(entry for part in parts for entry in part.exclusions)
    journal.upstream_status = parts[-1].upstream_status
    journal.attempts += tuple(attempt for part in parts for attempt in part.attempts)
    journal.dropped = tuple(dict.fromkeys(dropped))
    journal.headers = parts[0].headers
    journal.served_by = next((part.served_by for part in (journal, *parts) if part.served_by), None)
    journal.first_byte_at = min(firsts, default=None)

    if usages:
        journal.usage = TokenUsage(
            input_tokens=sum(usage.input_tokens for usage in usages),
            estimated=any(usage.estimated for usage in usages),
        )
