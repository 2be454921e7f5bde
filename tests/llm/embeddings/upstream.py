"""An upstream that makes embeddings as servers in OpenAI's form do, and records of its models."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.embeddings import openai_embeddings, wanted_in
from spindle_conformance.upstreams.server import Play
from spindle_spi.records import ModelSpec
from tests.llm.support.records import model

if TYPE_CHECKING:
    from spindle_conformance.upstreams.server import Seen
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import Json, JsonObject
    from tests.llm.support.gateway import Client

PATH = "/v1/embeddings"


def embedder(
    name: str = "embed",
    *,
    of: str = "up",
    dimensions: int | None = None,
    fallbacks: tuple[str, ...] = (),
    **defaults: Json,
) -> CatalogRecord:
    """Return the record of a model that makes embeddings."""
    spec = ModelSpec(
        provider=of,
        upstream_name=name,
        model_type="embeddings",
        supports=("embedding",),
        dimensions=dimensions,
        fallbacks=fallbacks,
        defaults=defaults,
    )
    return replace(model(name, of=of), spec=spec)


def embeds(seen: Seen) -> Play:
    """Answer as an upstream in OpenAI's form does; its model names say what it does wrong."""
    wanted = wanted_in(seen.json if isinstance(seen.json, dict) else {})
    assert wanted is not None
    return Play(body=json.dumps(openai_embeddings(wanted)).encode())


def body(*inputs: str, model: str = "up~embed", **others: Json) -> JsonObject:
    """Return a request for the vectors of some texts."""
    return {"model": model, "input": [*inputs], **others}


def vectors_in(client: Client) -> list[list[float]]:
    """Return the vectors of an answer, whatever their encoding, in the order of their index."""
    assert client.status == 200, client.content
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
