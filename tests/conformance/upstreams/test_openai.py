"""The simulated upstream over a real socket, from another process."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import anyio
import httpx2
import pytest

from spindle_conformance.upstreams.embeddings import MODELS
from spindle_conformance.upstreams.openai import answer
from spindle_conformance.upstreams.plays import PLAIN_TEXT, model_names
from spindle_conformance.upstreams.scripts import dump
from spindle_conformance.upstreams.server import Seen
from tests.support.upstream_process import Upstream, running_upstream

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio


def _request(model: str, *, stream: bool = False) -> JsonObject:
    return {
        "model": model,
        "stream": stream,
        "messages": [{"role": "user", "content": "hi"}],
    }


async def _post(client: httpx2.AsyncClient, upstream: Upstream, body: JsonObject) -> str:
    response = await client.post(f"{upstream.url}/v1/chat/completions", json=body)
    assert response.status_code == 200

    return response.text


@pytest.mark.parametrize("chunk", [1, 7, 0])
async def test_what_is_said_does_not_depend_on_the_chunking(chunk: int) -> None:
    """Unary and stream carry the whole scripted text at every size of write."""
    async with running_upstream(chunk=chunk) as upstream, _client() as client:
        unary = json.loads(await _post(client, upstream, _request("plain")))
        stream = await _post(client, upstream, _request("plain", stream=True))

    assert unary["choices"][0]["message"]["content"] == PLAIN_TEXT
    assert stream.endswith("data: [DONE]\n\n")


async def test_the_log_tells_requests_and_clients_that_left() -> None:
    """A client that gives up while the upstream hangs is logged as gone; reset forgets."""
    async with running_upstream() as upstream, _client() as client:
        await _post(client, upstream, _request("plain"))

        with pytest.raises(httpx2.ReadTimeout):
            await client.post(
                f"{upstream.url}/v1/chat/completions", json=_request("hang"), timeout=0.1
            )

        first, second = await upstream.log(ended=2)
        await upstream.reset()
        after = await upstream.log()

    assert first["client_left"] is False
    assert second["client_left"] is True
    assert second["body"] == _request("hang")
    assert after == []


@pytest.mark.parametrize("model", ["cut", "cut-before", "cut-head"])
async def test_a_cut_is_seen_as_a_broken_connection(model: str) -> None:
    """The client gets a protocol error, not a short answer."""
    async with running_upstream() as upstream, _client() as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await _post(client, upstream, _request(model, stream=True))


async def test_connections_are_kept_and_bodies_may_be_chunked() -> None:
    """Two requests use one connection; a body sent in HTTP chunks is read whole."""
    first, second = dump(_request("plain")), dump(_request("empty"))
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
    half = len(second) // 2

    async with running_upstream() as upstream:
        port = int(upstream.url.rpartition(":")[2])

        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(head + b"content-length: %d\r\n\r\n" % len(first) + first)
            await stream.receive()
            await stream.send(head + b"transfer-encoding: chunked\r\n\r\n")

            for piece in (second[:half], second[half:], b""):
                await stream.send(b"%x\r\n%b\r\n" % (len(piece), piece))

            await stream.receive()

        seen = await upstream.log(ended=2)

    assert [entry["body"] for entry in seen] == [_request("plain"), _request("empty")]


async def test_models_are_listed_and_other_paths_are_unknown() -> None:
    """The list names every model; what is not served is 404, what cannot be read 400."""
    ask = partial(Seen, headers={})
    listed = json.loads(answer(ask(method="GET", path="/v1/models")).body)

    assert [entry["id"] for entry in listed["data"]] == [*model_names(), *MODELS]
    assert answer(ask(method="GET", path="/v1/chat/completions")).status == 404
    assert answer(ask(method="POST", path="/v1/chat/completions", body=b"[]")).status == 400
    assert answer(ask(method="POST", path="/v1/chat/completions", body=b"{")).status == 400


def _client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False, timeout=10.0)
