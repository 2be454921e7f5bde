"""The module in front of a simulated upstream of any vendor, and what clients make of it."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from spindle_conformance.upstreams.simulators import SIMULATORS, serving, simulator
from spindle_llm.providers.inquiry import Reply
from spindle_llm.relay.folding import Fold
from spindle_spi.errors import GatewayError
from spindle_spi.records import ModelSpec, ProviderSpec
from tests.llm.relay.test_folding import without_nulls
from tests.llm.support.gateway import Client, Gateway, gateway
from tests.llm.support.records import model

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from spindle_conformance.upstreams.simulator import Quirk
    from spindle_llm.providers.base import Adapter
    from spindle_llm.providers.dialect import StreamDecoder
    from spindle_spi.records import PublishedRecord
    from spindle_spi.types import Json, JsonObject

MODEL = ModelSpec(provider="up", upstream_name="m")
TOOLS: list[Json] = [
    {"type": "function", "function": {"name": "f"}},
    {"type": "function", "function": {"name": "g"}},
]


@asynccontextmanager
async def vendor(
    kind: str,
    *names: str,
    chunk: int = 0,
    quirks: Iterable[Quirk] = (),
    spec: ProviderSpec | None = None,
) -> AsyncGenerator[Gateway]:
    """Run the module in front of a vendor's simulator, with models of these names."""
    made = SIMULATORS[kind](key=None, quirks=set(quirks))
    wanted = replace(spec or ProviderSpec(provider_type=kind), provider_type=kind, long_timeout=2.0)

    async with gateway(made.answer, *map(model, names), spec=wanted, chunk=chunk) as up:
        yield up


class Questions:
    """`Inquiry` over the smallest of clients: one connection for each question."""

    def __init__(self, base: str, headers: dict[str, str] | None = None) -> None:
        self.provider = "up"
        self.base = base
        self.headers = headers or {}

    async def get(self, url: str) -> Reply:
        """Ask with GET."""
        return await self._ask("GET", url, b"")

    async def post(self, url: str, body: JsonObject) -> Reply:
        """Ask with POST."""
        return await self._ask("POST", url, json.dumps(body).encode())

    async def _ask(self, method: str, url: str, body: bytes) -> Reply:
        _, _, rest = url.partition("://")
        host, _, path = rest.partition("/")
        name, _, port = host.partition(":")
        lines = [f"{method} /{path} HTTP/1.1", f"host: {host}", "connection: close"]
        lines += [f"{key}: {value}" for key, value in self.headers.items()]
        head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode()

        async with await anyio.connect_tcp(name, int(port)) as stream:
            await stream.send(head + body)
            data = b""

            while b"\r\n\r\n" not in data:
                data += await stream.receive()

            told, _, content = data.partition(b"\r\n\r\n")
            status, *pairs = told.decode("latin-1").split("\r\n")
            headers = {
                key.strip().lower(): value.strip()
                for key, _, value in (pair.partition(":") for pair in pairs)
            }

            while len(content) < int(headers["content-length"]):
                content += await stream.receive()

        return Reply(status=int(status.split(" ")[1]), headers=headers, body=content)


async def listed(
    adapter: Adapter, kind: str, *, quirks: Iterable[Quirk] = (), path: str = ""
) -> dict[str, PublishedRecord]:
    """Return the models an adapter finds at a vendor's simulator, by their names there."""
    records: Sequence[PublishedRecord] = ()
    failure: GatewayError | None = None

    with anyio.fail_after(20):
        async with serving(simulator(kind, quirks=quirks)) as url:
            # Met here: the group of the server would wrap it.
            try:
                records = await adapter.models(Questions(url + path))
            except GatewayError as exc:
                failure = exc

    if failure is not None:
        raise failure

    found: dict[str, PublishedRecord] = {}

    for record in records:
        assert isinstance(record.spec, ModelSpec)
        assert record.name == f"up~{record.spec.upstream_name}"
        found[record.spec.upstream_name] = record

    return found


def spec_of(record: PublishedRecord) -> ModelSpec:
    """Return the spec of a model's record."""
    assert isinstance(record.spec, ModelSpec)
    return record.spec


def sent(body: bytes) -> JsonObject:
    """Return a written request as data."""
    value: JsonObject = json.loads(body)
    return value


def chunks_of(decoder: StreamDecoder, data: bytes, size: int = 0) -> list[JsonObject]:
    """Return the chunks of a body that comes in pieces of a size."""
    step = size or max(1, len(data))
    chunks: list[JsonObject] = []

    for start in range(0, len(data), step):
        chunks += decoder.feed(data[start : start + step])

    return [*chunks, *decoder.close()]


def made_of(client: Client) -> Json:
    """Return what a client makes of an answer, whole or streamed, without what is made up."""
    if client.status != 200:
        return [client.status, client.error]

    if not client.headers["content-type"].startswith("text/event-stream"):
        return _comparable(client.json)

    fold = Fold()
    *events, last = client.events

    if last != "[DONE]":
        return [200, json.loads(last)]

    for event in events:
        fold.add(json.loads(event))

    return _comparable(fold.answer())


_MADE_UP = frozenset({"id", "created", "object", "system_fingerprint"})


def _comparable(answer: JsonObject) -> Json:
    plain = without_nulls(answer)
    assert isinstance(plain, dict)
    return {name: value for name, value in plain.items() if name not in _MADE_UP}
