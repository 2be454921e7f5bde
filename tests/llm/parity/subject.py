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
from spindle_conformance.upstreams.server import Ending, Play, ScriptedServer
from spindle_llm.providers.registry import adapters
from spindle_llm.routing.health import HealthBoard
from spindle_llm.routing.upstreams import Upstreams
from spindle_llm.runtime import Runtime, State
from spindle_llm.settings import LlmSettings
from spindle_llm.surfaces.chat_completions import ChatCompletions
from spindle_llm.surfaces.messages.routes import Messages
from spindle_llm.surfaces.responses.routes import Responses
from spindle_spi.errors import UpstreamError
from spindle_spi.ingress import Call
from spindle_spi.records import ProviderSpec
from spindle_transport.exchange import Transport, UpstreamRequest, UpstreamResponse
from tests.llm.support.gateway import Client
from tests.llm.support.records import CONTEXT, model, provider

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_conformance.parity import Cell
    from spindle_llm.providers.base import Adapter
    from spindle_spi.types import JsonObject

BASE = "http://upstream.test/v1"
NAME = "up~m"

_NEVER = 1_000_000_000
_PATIENT: JsonObject = {
    "routing": {"breaker": {"failures": _NEVER, "ratio": 1.0, "ratio_calls": _NEVER}}
}
"""No script's failure concerns the next one."""
_SAID: dict[str, JsonObject] = {
    "chat": {"messages": [{"role": "user", "content": "hi"}]},
    "messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 64},
    "responses": {"input": "hi", "store": False},
}


class ModuleSubject:
    """One cell's product; close it when it is proven."""

    model = NAME

    def __init__(
        self, cell: Cell, *, url: str = BASE, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        """Stand between the dialect and the surface of a cell, over the transport of `set`."""
        self._surface = cell.surface
        kind, spec = provider_of(cell.dialect.name)
        self.host = FakeHost([provider(url=url, spec=spec), model("m")])
        settings = LlmSettings.of(_PATIENT)
        services = self.host.services_for("llm")
        self._upstreams = Upstreams(services, {kind: self.adapter(kind)}, routing=settings.routing)
        state = State()
        state.set(
            Runtime(
                services=services,
                settings=settings,
                upstreams=self._upstreams,
                health=HealthBoard(self._upstreams),
                spawn=_never,
            )
        )
        self._handler = _handler(cell.surface, state)
        self.loop = loop or asyncio.new_event_loop()

    def adapter(self, kind: str) -> Adapter:
        """Return the adapter of a provider type, over reads that a script gives."""
        self._transport = _Bytes()
        return _over(type(adapters()[kind]), self._transport)

    def set(self, pieces: Sequence[bytes], content_type: str, *, is_cut: bool) -> None:
        """Say what the upstream sends next."""
        self._transport.set(pieces, content_type, is_cut=is_cut)

    def close(self) -> None:
        """End its loop."""
        self.loop.run_until_complete(self._upstreams.close())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def whole(self, body: bytes, content_type: str) -> Relayed:
        """Ask for a whole answer."""
        self.set((body,), content_type, is_cut=False)
        return self._ask({})

    def stream(self, pieces: Sequence[bytes], content_type: str, *, is_cut: bool) -> Relayed:
        """Ask for a stream, and its usage."""
        self.set(pieces, content_type, is_cut=is_cut)
        options = {"stream_options": {"include_usage": True}} if self._surface == "chat" else {}
        return self._ask({"stream": True, **options})

    def _ask(self, options: Mapping[str, object]) -> Relayed:
        client = Client(json.dumps({"model": NAME, **_SAID[self._surface], **options}).encode())
        scope: dict[str, object] = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "query_string": b"",
            "headers": [],
        }
        asked = self._handler(scope, client.receive, client.send, Call(CONTEXT))
        self.loop.run_until_complete(_awaited(asked))
        assert client.is_complete
        return Relayed(status=client.status, body=client.content)


class SocketSubject(ModuleSubject):
    """The same over real connections, to a server that writes what it is told."""

    def __init__(self, cell: Cell) -> None:
        """Start the server, in the loop that the product runs in."""
        self._play = Play()
        self._server = ScriptedServer(handler=lambda _: self._play)
        loop = asyncio.new_event_loop()
        started: asyncio.Future[str] = loop.create_future()
        self._serving = loop.create_task(self._server.serve(0, started.set_result))
        url = loop.run_until_complete(started)
        super().__init__(cell, url=f"{url}/v1", loop=loop)

    def adapter(self, kind: str) -> Adapter:
        """Return the adapter of a provider type, as it is."""
        return adapters()[kind]

    def set(self, pieces: Sequence[bytes], content_type: str, *, is_cut: bool) -> None:
        """Say what the server sends next; its writes are as long as the first read."""
        self._play = Play(
            body=b"".join(pieces),
            content_type=content_type,
            streamed=True,
            ending=Ending.CUT if is_cut else Ending.COMPLETE,
            chunk=len(pieces[0]) if pieces and len(pieces) > 1 else 0,
        )

    def close(self) -> None:
        """Stop the server."""
        self._serving.cancel()
        self.loop.run_until_complete(asyncio.gather(self._serving, return_exceptions=True))
        super().close()


def _handler(surface: str, state: State) -> Callable[..., Awaitable[None]]:
    if surface == "chat":
        return ChatCompletions(state)

    if surface == "responses":
        return Responses(state).create

    return Messages(state)


def provider_of(dialect: str) -> tuple[str, ProviderSpec]:
    """Return the provider type that speaks a dialect, and a spec that makes it speak it."""
    options: JsonObject = {"keep_alive": "5m"} if dialect == "ollama" else {}
    kind = "ollama" if dialect == "ollama-compatible" else dialect
    return kind, ProviderSpec(provider_type=kind, options=options, max_retries=0)


def _over(kind: type[Adapter], transport: Transport) -> Adapter:
    def over(self: Adapter, spec: ProviderSpec) -> Transport:
        del self, spec
        return transport

    made: type[Adapter] = type("Over", (kind,), {"transport": over})
    return made()


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
