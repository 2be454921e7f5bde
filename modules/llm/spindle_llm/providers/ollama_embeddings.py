"""Ollama's embeddings: `POST /api/embed`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from spindle_llm.providers.dialect import Embedded, EmbeddingsDialect, Encoded
from spindle_llm.providers.ledger import Ledger, unsupported
from spindle_llm.providers.urls import root_url
from spindle_llm.relay.wire_json import UNREADABLE, encode
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from spindle_spi.records import ModelSpec
    from spindle_spi.types import JsonObject


class _Answer(msgspec.Struct):
    embeddings: list[list[float]]
    prompt_eval_count: int | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class OllamaEmbeddings(EmbeddingsDialect):
    """`POST /api/embed`: several texts at once; tokens are not taken."""

    max_inputs: ClassVar[int] = 512
    ledger = Ledger(
        passed=frozenset({"model", "input", "dimensions", "truncate", "options", "keep_alive"}),
        translated={"encoding_format": "nothing: vectors are plain numbers"},
        dropped=frozenset({"user"}),
    )

    def url(self, base: str, model: str) -> str:
        """Return where embeddings are asked."""
        del model
        return root_url(base, "/api/embed")

    def encode(self, request: JsonObject, *, spec: ModelSpec) -> Encoded:
        """Return the request as bytes."""
        del spec
        kept, dropped = self.ledger.judge(request)
        kept.pop("encoding_format", None)
        inputs = kept.get("input")

        if isinstance(inputs, list) and not all(isinstance(entry, str) for entry in inputs):
            raise unsupported("input", "The provider of this model takes texts, and no tokens.")

        return Encoded(body=encode(kept), dropped=dropped)

    def decode(self, data: bytes) -> Embedded:
        """Return the vectors, which are in the order of the inputs."""
        try:
            answer = _ANSWER.decode(data)
        except UNREADABLE as exc:
            raise UpstreamError(
                "The upstream sent no embeddings.", code="upstream_garbage"
            ) from exc

        return Embedded(vectors=answer.embeddings, input_tokens=answer.prompt_eval_count)
