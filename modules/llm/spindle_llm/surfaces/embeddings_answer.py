"""The answer to a request for embeddings, in OpenAI's form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.relay.wire_json import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_llm.embeddings.vectors import Vector
    from spindle_spi.types import Json


def write_embeddings(vectors: Sequence[Vector], *, model: str, encoding: str, tokens: int) -> bytes:
    """Return the answer's bytes, the vectors in the order of the inputs."""
    data: list[Json] = [
        {
            "object": "embedding",
            "index": index,
            "embedding": vector.base64 if encoding == "base64" else [*vector.numbers],
        }
        for index, vector in enumerate(vectors)
    ]
    return encode(
        {
            "object": "list",
            "data": data,
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )
