"""What every part of the module works with, and the two calls that reach a model.

`complete` and `stream` take and give the lingua franca (OpenAI's chat form as plain data). They
admit nothing, run no hooks and settle nothing: the caller holds the permit and does that.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from spindle_llm.embeddings.cache import EmbeddingsCache
from spindle_llm.relay.answers import mend_answer
from spindle_llm.relay.client import UNWATCHED
from spindle_llm.relay.invariants import StreamRules
from spindle_llm.relay.journal import Journal
from spindle_llm.relay.reading import (
    CLOSING_PATIENCE,
    decoded,
    note_stream,
    read_all,
    require_media_type,
)
from spindle_llm.relay.usage import estimated_usage, told_usage
from spindle_llm.routing.attempts import Ask, open_first
from spindle_llm.routing.defaults import defaults_for, missing_defaults
from spindle_llm.routing.health import HealthBoard
from spindle_llm.routing.routes import RouteLog
from spindle_llm.routing.upstreams import Upstreams
from spindle_llm.settings import LlmSettings
from spindle_spi.admission import Attempt, Permit, TokenUsage
from spindle_spi.errors import Unavailable, UpstreamError
from spindle_spi.module import Spawn
from spindle_spi.services import Services
from spindle_spi.types import JsonObject
from spindle_transport.patience import Patience

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from spindle_llm.providers.dialect import ChatDialect, Encoded, StreamDecoder
    from spindle_llm.relay.invariants import Piece
    from spindle_llm.routing.attempts import Opened
    from spindle_llm.routing.upstreams import Upstream
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.records import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The running module: what the core handed out, the settings, the upstreams."""

    services: Services
    settings: LlmSettings
    upstreams: Upstreams
    """Transport, adapter and key of every provider, by its record."""
    health: HealthBoard
    """How providers are, as calls and probes left them."""
    spawn: Spawn
    """Starts work that outlives the call it came from."""
    routes: RouteLog = field(default_factory=RouteLog)
    """Why calls were answered by whom."""
    embeddings: EmbeddingsCache = field(default_factory=EmbeddingsCache)
    """Vectors that were made before, or are being made."""
    patience: Patience = field(default_factory=partial(Patience, UNWATCHED))
    """Looks after the clients of calls that take a while."""


class State:
    """Where handlers, which exist before the module runs, find the runtime."""

    __slots__ = ("_runtime",)

    def __init__(self) -> None:
        self._runtime: Runtime | None = None

    @property
    def runtime(self) -> Runtime:
        """The runtime.

        Raises:
            Unavailable: The module is not running.
        """
        if self._runtime is None:
            raise Unavailable("The LLM module is not running.", code="llm.not_running")

        return self._runtime

    def set(self, runtime: Runtime | None) -> None:
        """Make the runtime known, or forget it."""
        self._runtime = runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A whole answer, and how it came about."""

    answer: JsonObject
    """In OpenAI's form, under the unified model name."""
    usage: TokenUsage
    attempts: tuple[Attempt, ...] = ()
    served_by: str | None = None


async def complete(
    runtime: Runtime,
    context: AuthenticatedContext,
    permit: Permit,
    body: JsonObject,
    *,
    deadline: float | None = None,
    journal: Journal | None = None,
) -> Completion:
    """Ask the permit's model and return its whole answer.

    `body` is a chat request in OpenAI's form; its `model` and `stream` are set here. A journal,
    when given, holds attempts, usage and finish reasons afterwards, after a failure too.

    Raises:
        InvalidArgument: The upstream says the request is wrong.
        RateLimited: The upstream's limits are exhausted.
        UpstreamError: The upstream failed.
    """
    journal = Journal() if journal is None else journal
    limit = runtime.settings.answer_limit_bytes
    answer: JsonObject = {}
    size = 0

    async def receive(opened: Opened[ChatDialect]) -> None:
        nonlocal answer, size
        data = await read_all(opened.response, limit)
        journal.first_byte()
        answer = opened.dialect.decode(data)
        mend_answer(answer)
        size = len(data)

    ask = _ask(runtime, context, body, receive, stream=False, deadline=deadline)
    opened = await open_first(runtime.upstreams, permit, ask, journal)
    answer["model"] = opened.record.name
    usage = told_usage(answer.get("usage")) or estimated_usage(
        request_bytes=opened.sent_bytes, output_bytes=size
    )
    journal.usage = usage
    journal.note_answer(answer)
    await opened.aclose()
    return Completion(
        answer=answer, usage=usage, attempts=journal.attempts, served_by=journal.served_by
    )


async def stream(
    runtime: Runtime,
    context: AuthenticatedContext,
    permit: Permit,
    body: JsonObject,
    *,
    deadline: float | None = None,
    journal: Journal | None = None,
) -> AsyncGenerator[JsonObject]:
    """Ask the permit's model and yield the chunks of its answer, in OpenAI's form.

    The chunks keep the rules of a well-formed stream whatever the upstream sent. The last one
    has no choices and carries the usage, when the upstream told it. Close the generator to cancel.

    Raises:
        InvalidArgument: The upstream says the request is wrong.
        RateLimited: The upstream's limits are exhausted.
        UpstreamError: The upstream failed, or cut its answer.
    """
    journal = Journal(stream=True) if journal is None else journal
    limit = runtime.settings.answer_limit_bytes
    streams: list[_Begun] = []

    async def receive(opened: Opened[ChatDialect]) -> None:
        decoder = opened.dialect.decoder(limit)
        rules = StreamRules(
            model=opened.record.name, fallback_id=f"chatcmpl-{context.trace.request_id}"
        )
        require_media_type(opened.response.headers, decoder.media_types)
        begun = _Begun(rules, decoder, decoded(opened.response, decoder))
        streams.append(begun)
        await begun.begin(journal)

    ask = _ask(runtime, context, body, receive, stream=True, deadline=deadline)
    opened = await open_first(runtime.upstreams, permit, ask, journal)
    begun = streams[-1]

    try:
        async with aclosing(begun.rest()) as chunks:
            async for chunk in chunks:
                yield chunk
    except UpstreamError as exc:
        opened.broke(exc)
        raise
    finally:
        if begun.rules.deltas:
            note_stream(journal, begun.rules, opened.sent_bytes)

        await opened.aclose(patience=CLOSING_PATIENCE if begun.decoder.is_done else 0.0)


class _Begun:
    """A stream whose first chunks are here."""

    __slots__ = ("_chunks", "_pieces", "decoder", "rules")

    def __init__(
        self, rules: StreamRules, decoder: StreamDecoder, chunks: AsyncGenerator[JsonObject]
    ) -> None:
        self.rules = rules
        self.decoder = decoder
        self._chunks = chunks
        self._pieces: list[Piece] = []

    async def begin(self, journal: Journal) -> None:
        """Wait for the first chunk that may go out."""
        try:
            async for chunk in self._chunks:
                journal.first_byte()
                self._pieces = self.rules.take(chunk)

                if self._pieces:
                    return

            self._check_end()
        except BaseException:
            await self._chunks.aclose()
            raise

    async def rest(self) -> AsyncGenerator[JsonObject]:
        """Yield every chunk, the first ones too."""
        # What is left in the middle is closed here and now, not by whoever collects garbage.
        async with aclosing(self._chunks):
            for piece in self._pieces:
                yield piece.chunk

            async for chunk in self._chunks:
                for piece in self.rules.take(chunk):
                    yield piece.chunk

        self._check_end()

        for piece in self.rules.finish(with_usage=True):
            yield piece.chunk

    def _check_end(self) -> None:
        if not self.decoder.is_done and not self.rules.is_whole:
            raise UpstreamError("The upstream cut its answer.", code="upstream_cut")


def _ask(
    runtime: Runtime,
    context: AuthenticatedContext,
    body: JsonObject,
    receive: Callable[[Opened[ChatDialect]], Awaitable[None]],
    *,
    stream: bool,
    deadline: float | None,
) -> Ask[ChatDialect]:
    def choose(spec: ModelSpec, upstream: Upstream) -> ChatDialect:
        return upstream.adapter.chat(upstream.spec, spec, body)

    def encode(dialect: ChatDialect, spec: ModelSpec, upstream: Upstream) -> Encoded:
        defaults = defaults_for(spec, upstream.spec, runtime.settings)
        # Under the upstream's model name, with what the operator set.
        request = {**missing_defaults(defaults, body), **body, "model": spec.upstream_name}
        return dialect.encode(request, stream=stream, spec=spec)

    traceparent = context.trace.traceparent
    headers = {} if traceparent is None else {"traceparent": traceparent}
    return Ask(
        choose=choose,
        encode=encode,
        receive=receive,
        stream=stream,
        headers=headers,
        deadline=deadline,
    )
