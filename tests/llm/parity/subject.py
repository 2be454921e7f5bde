"""The module as the prover's subject: its own handlers and adapters over a transport of bytes.

Everything of the product runs, from the surface's handler to the adapter's decoder; only the
connection to the upstream is replaced, by the adapter's own seam for that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from spindle_conformance.fakes import FakeHost
from spindle_conformance.parity import Relayed
from spindle_llm.providers.registry import adapters
from spindle_llm.relay.transport import Transport, UpstreamRequest, UpstreamResponse
from spindle_llm.routing.health import HealthBoard
from spindle_llm.routing.upstreams import Upstreams
from spindle_llm.runtime import Runtime, State
from spindle_llm.settings import LlmSettings
from spindle_llm.surfaces.chat_completions import ChatCompletions
from spindle_llm.surfaces.responses.routes import Responses
from spindle_spi.errors import UpstreamError
from spindle_spi.ingress import Call
from spindle_spi.records import ProviderSpec
from tests.llm.support.gateway import Client
from tests.llm.support.records import CONTEXT, model, provider

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_conformance.parity import Cell
    from spindle_llm.providers.base import Adapter
    from spindle_spi.plugin import Plugin
    from spindle_spi.types import JsonObject

BASE = "http://upstream.test/v1"
NAME = "up~m"

_SAID: dict[str, JsonObject] = {
    "chat": {"messages": [{"role": "user", "content": "hi"}]},
    "messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 64},
    "responses": {"input": "hi", "store": False},
}


class ModuleSubject:
    """One cell's product; close it when it is proven."""

    model = NAME

    def __init__(self, cell: Cell, *, plugins: Sequence[Plugin] = ()) -> None:
        """Stand between the dialect and the surface of a cell, with plugins that look on."""
        self._surface = cell.surface
        self._transport = _Bytes()
        kind, spec = provider_of(cell.dialect.name)
        adapter = _over(type(adapters()[kind]), self._transport)
        host = FakeHost([provider(url=BASE, spec=spec), model("m")], plugins=plugins)
        self._upstreams = Upstreams(host.services_for("llm"), {kind: adapter})
        state = State()
        state.set(
            Runtime(
                services=host.services_for("llm"),
                settings=LlmSettings(),
                upstreams=self._upstreams,
                health=HealthBoard(self._upstreams),
                spawn=_never,
            )
        )
        self._handler = _handler(cell.surface, state)
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        """End its loop."""
        self._loop.run_until_complete(self._upstreams.close())
        self._loop.close()

    def whole(self, body: bytes, content_type: str) -> Relayed:
        """Ask for a whole answer."""
        self._transport.set((body,), content_type, is_cut=False)
        return self._ask({})

    def stream(self, pieces: Sequence[bytes], content_type: str, *, is_cut: bool) -> Relayed:
        """Ask for a stream, and its usage."""
        self._transport.set(pieces, content_type, is_cut=is_cut)
        options = {"stream_options": {"include_usage": True}} if self._surface == "chat" else {}
        return self._ask({"stream": True, **options})

    def _ask(self, options: Mapping[str, object]) -> Relayed:
        client = Client(json.dumps({"model": NAME, **_SAID[self._surface], **options}).encode())
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "query_string": b"",
            "headers": [],
        }
        asked = self._handler(scope, client.receive, client.send, Call(CONTEXT))
        self._loop.run_until_complete(_awaited(asked))
        assert client.is_complete
        return Relayed(status=client.status, body=client.content)


def _handler(surface: str, state: State) -> Callable[..., Awaitable[None]]:
    if surface == "chat":
        return ChatCompletions(state)

    if surface == "responses":
        return Responses(state).create

    from spindle_llm.surfaces.messages.routes import Messages

    return Messages(state)


def provider_of(dialect: str) -> tuple[str, ProviderSpec]:
    """Return the provider type that speaks a dialect, and a spec that makes it speak it."""
    kind, options = {
        "ollama": ("ollama", {"keep_alive": "5m"}),
        "ollama_compatible": ("ollama", {}),
    }.get(dialect, (dialect, {}))
    return kind, ProviderSpec(provider_type=kind, options=dict(options), max_retries=0)


def _over(kind: type[Adapter], transport: Transport) -> Adapter:
    class Over(kind):  # type: ignore[valid-type,misc]
        def transport(self, spec: ProviderSpec) -> Transport | None:
            del spec
            return transport

    adapter: Adapter = Over()
    return adapter


class _Bytes(Transport):
    """Answers every request with the same reads."""

    def __init__(self) -> None:
        self._response = _Reads((), "", is_cut=False)

    def set(self, pieces: Sequence[bytes], content_type: str, *, is_cut: bool) -> None:
        self._response = _Reads(pieces, content_type, is_cut=is_cut)

    async def open(self, request: UpstreamRequest) -> UpstreamResponse:
        del request
        return self._response

    async def close(self) -> None:
        """Nothing is open."""


class _Reads(UpstreamResponse, AsyncIterator[bytes]):
    def __init__(self, pieces: Sequence[bytes], content_type: str, *, is_cut: bool) -> None:
        self._pieces = iter([piece for piece in pieces if piece])
        self._headers = {"content-type": content_type}
        self._is_cut = is_cut

    @property
    def status(self) -> int:
        return 200

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece

        if self._is_cut:
            raise UpstreamError("The upstream cut its answer.", code="upstream_cut")

        raise StopAsyncIteration

    async def aclose(self, *, patience: float = 0.0) -> None:
        del patience


def _never(name: str, work: Callable[[], Awaitable[None]]) -> None:
    del work
    raise AssertionError(f"{name} was started, and nothing here outlives its call")


async def _awaited(asked: Awaitable[None]) -> None:
    await asked
