"""POST /v1/embeddings: what is judged, what is asked, what is answered."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.embeddings import openai_embeddings, vector, wanted_in
from spindle_conformance.upstreams.server import Play
from spindle_spi.admission import Status
from spindle_spi.records import ModelSpec
from tests.llm.support.gateway import Client, gateway
from tests.llm.support.records import model

if TYPE_CHECKING:
    from spindle_conformance.upstreams.server import Seen
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import Json, JsonObject

PATH = "/v1/embeddings"


def embedder(
    name: str = "embed", *, dimensions: int | None = None, of: str = "up"
) -> CatalogRecord:
    """Return the record of a model that makes embeddings."""
    spec = ModelSpec(
        provider=of,
        upstream_name=name,
        model_type="embeddings",
        supports=("embedding",),
        dimensions=dimensions,
    )
    return replace(model(name, of=of), spec=spec)


def embeds(seen: Seen) -> Play:
    """Answer as an upstream in OpenAI's form does."""
    wanted = wanted_in(seen.json if isinstance(seen.json, dict) else {})
    assert wanted is not None
    return Play(body=json.dumps(openai_embeddings(wanted)).encode())


def vectors_in(client: Client) -> list[list[float]]:
    """Return the vectors of an answer, whatever their encoding, in the order of their index."""
    data = client.json["data"]
    assert isinstance(data, list)
    found: list[list[float]] = []

    for index, entry in enumerate(data):
        assert isinstance(entry, dict)
        assert (entry["object"], entry["index"]) == ("embedding", index)
        found.append(_numbers(entry["embedding"]))

    return found


def _numbers(said: Json) -> list[float]:
    if isinstance(said, str):
        packed = base64.b64decode(said)
        return list(struct.unpack(f"<{len(packed) // 4}f", packed))

    assert isinstance(said, list)
    return [float(number) for number in said if isinstance(number, int | float)]


@pytest.mark.requirement("001-api-embeddings")
@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
@pytest.mark.parametrize("encoding", [None, "float", "base64"])
async def test_texts_become_vectors_in_their_order(path: str, encoding: str | None) -> None:
    """Both encodings are made here: the upstream is asked for numbers, whatever a client wants."""
    async with gateway(embeds, embedder()) as spindle:
        said: JsonObject = {"model": "up~embed", "input": ["one", "two"]}

        if encoding is not None:
            said["encoding_format"] = encoding

        client = await spindle.ask(said, path=path)

        assert client.status == 200, client.content
        assert vectors_in(client) == [vector("one"), vector("two")]
        assert {**client.json, "data": None} == {
            "object": "list",
            "data": None,
            "model": "up~embed",
            "usage": {"prompt_tokens": 6, "total_tokens": 6},
        }
        assert spindle.received == {
            "model": "embed",
            "input": ["one", "two"],
            "encoding_format": "float",
        }
        assert [outcome.status for outcome in spindle.outcomes] == [Status.OK]
