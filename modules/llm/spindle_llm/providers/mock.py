"""The mock provider: a transport that plays byte scripts, read by the adapter of real providers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import anyio

from spindle_llm.providers.mock_embeddings import DIMENSIONS, EMBEDDERS, embed
from spindle_llm.providers.mock_scripts import CREATED, MODELS, Question, Script, script_for
from spindle_llm.providers.openai import OpenAiAdapter
from spindle_llm.relay.wire_json import read_object
from spindle_spi.errors import UpstreamError, UpstreamTimeout
from spindle_spi.records import Kind, ModelSpec, ProviderSpec, PublishedRecord
from spindle_transport.exchange import Transport, UpstreamRequest, UpstreamResponse

if TYPE_CHECKING:
    from spindle_llm.providers.inquiry import Inquiry
    from spindle_spi.types import Json


class MockAdapter(OpenAiAdapter):
    """OpenAI's dialect over a transport that has no network behind it."""

    provider_type: ClassVar[str] = "mock"
    title: ClassVar[str] = "Mock"
    default_base: ClassVar[str | None] = "https://mock.invalid/v1"

    def transport(self, spec: ProviderSpec) -> Transport | None:
        """Return the transport that plays the scripts."""
        return MockTransport(spec.options, silence=spec.long_timeout)

    def health_url(self, base: str) -> str | None:
        """Return None: it is always there."""
        del base
        return None

    async def models(self, inquiry: Inquiry) -> Sequence[PublishedRecord]:
        """Return what is built in."""
        return self.built_in_models(inquiry.provider)

    def built_in_models(self, provider: str) -> Sequence[PublishedRecord]:
        """Return one model for each script."""
        chats = [
            PublishedRecord(
                kind=Kind.MODEL,
                name=f"{provider}~{name}",
                description=description,
                spec=ModelSpec(
                    provider=provider,
                    upstream_name=name,
                    created=CREATED,
                    context_window=32_768,
                    max_output_tokens=4096,
                    supports=("chat", "streaming", "function_calling"),
                    state="loaded",
                ),
            )
            for name, (description, _) in MODELS.items()
        ]
        embedders = [
            PublishedRecord(
                kind=Kind.MODEL,
                name=f"{provider}~{name}",
                description=description,
                spec=ModelSpec(
                    provider=provider,
                    upstream_name=name,
                    created=CREATED,
                    model_type="embeddings",
                    context_window=32_768,
                    dimensions=DIMENSIONS,
                    supports=("embedding",),
                    state="loaded",
                ),
            )
            for name, description in EMBEDDERS.items()
        ]
        return [*chats, *embedders]


class MockTransport(Transport):
    """Answers requests from scripts, with the waits and the ends they ask for."""

    def __init__(self, options: Mapping[str, Json], *, silence: float) -> None:
        self._options = options
        self._silence = silence

    async def open(self, request: UpstreamRequest) -> UpstreamResponse:
        """Return the answer a script has for the request."""
        body, _ = read_object(request.body)
        question = Question(model=str(body.get("model")), body=body, options=self._options)
        script = embed(question) if _is_embedding(request) else script_for(question)
        silence = min(request.silence or self._silence, self._silence)

        if script.hangs and not script.pieces:
            await _stay_silent(silence)

        return MockResponse(script, silence)

    async def close(self) -> None:
        """Nothing is open."""


class MockResponse(UpstreamResponse, AsyncIterator[bytes]):
    """A script being played."""

    __slots__ = ("_next", "_script", "_silence")

    def __init__(self, script: Script, silence: float) -> None:
        self._script = script
        self._silence = silence
        self._next = 0

    @property
    def status(self) -> int:
        """The status."""
        return self._script.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; scripts write their names in lower case."""
        return self._script.headers

    def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the pieces of the script."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece when its time has come."""
        script, position = self._script, self._next
        self._next += 1

        if position < len(script.pieces):
            if script.gap and position:
                await anyio.sleep(script.gap)

            return script.pieces[position]

        if script.hangs:
            await _stay_silent(self._silence)

        if script.is_cut:
            raise UpstreamError("The upstream cut its answer.", code="upstream_cut")

        raise StopAsyncIteration

    async def aclose(self, *, patience: float = 0.0) -> None:
        """Stop playing."""
        del patience
        self._next = len(self._script.pieces)


def _is_embedding(request: UpstreamRequest) -> bool:
    return request.url.endswith("/embeddings")


async def _stay_silent(seconds: float) -> None:
    await anyio.sleep(seconds)
    raise UpstreamTimeout("The upstream did not answer in time.")
