"""OpenAI's embeddings dialect; numbers are asked for, and base64 is understood all the same."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import TYPE_CHECKING

import msgspec

from spindle_llm.providers.dialect import Embedded, EmbeddingsDialect, Encoded
from spindle_llm.providers.ledger import Ledger
from spindle_llm.providers.urls import join_url
from spindle_llm.relay.wire_json import UNREADABLE, encode
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.records import ModelSpec
    from spindle_spi.types import JsonObject


class _Entry(msgspec.Struct):
    embedding: list[float] | str
    index: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0


class _Listing(msgspec.Struct):
    data: list[_Entry]
    usage: _Usage | None = None


_LISTING = msgspec.json.Decoder(_Listing)


class OpenAiEmbeddings(EmbeddingsDialect):
    """`POST /embeddings`."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        """Take the fates of parameters."""
        self.ledger = ledger or Ledger()

    def url(self, base: str, model: str) -> str:
        """Return where embeddings are asked."""
        del model
        return join_url(base, "/embeddings")

    def encode(self, request: JsonObject, *, spec: ModelSpec) -> Encoded:
        """Return the request as bytes."""
        del spec
        kept, dropped = self.ledger.judge(request)
        return Encoded(body=encode({**kept, "encoding_format": "float"}), dropped=dropped)

    def decode(self, data: bytes) -> Embedded:
        """Return the vectors, put into the order of the inputs."""
        try:
            listing = _LISTING.decode(data)
        except UNREADABLE as exc:
            raise UpstreamError(
                "The upstream sent no embeddings.", code="upstream_garbage"
            ) from exc

        order = [
            position if entry.index is None else entry.index
            for position, entry in enumerate(listing.data)
        ]

        if sorted(order) != list(range(len(order))):
            raise UpstreamError("The upstream left embeddings out.", code="upstream_garbage")

        by_index = dict(zip(order, listing.data, strict=True))
        tokens = listing.usage.prompt_tokens if listing.usage is not None else 0
        return Embedded(
            vectors=[vector_of(by_index[index].embedding) for index in range(len(order))],
            input_tokens=tokens or None,
        )


def vector_of(embedding: list[float] | str) -> Sequence[float]:
    """Return a vector of either encoding: numbers, or base64 of little-endian 32-bit floats.

    Raises:
        UpstreamError: It is neither.
    """
    if isinstance(embedding, list):
        return embedding

    try:
        packed = base64.b64decode(embedding, validate=True)
        return struct.unpack(f"<{len(packed) // 4}f", packed)
    except (binascii.Error, struct.error) as exc:
        raise UpstreamError("The upstream sent no embeddings.", code="upstream_garbage") from exc
