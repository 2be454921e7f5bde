"""Ranks tools by meaning, where an operator names a model of embeddings.

The core is asked for it as the caller: who may not use the model is served by words alone, as is
everybody while it fails.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from spindle_spi.errors import GatewayError
from spindle_spi.invocation import Complete, Invocation
from spindle_spi.observability import Level
from spindle_spi.records import Kind, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.ingress import Call
    from spindle_spi.services import Services
    from spindle_spi.types import Json

_MAX_BYTES: Final = 64 * 1024 * 1024
"""Of the vectors that are kept."""
_MAX_TEXT: Final = 2000
_BATCH: Final = 128
_MAX_NEW: Final = 512
"""Definitions embedded for one question: the others wait for the next ones."""


class Vectors:
    """Vectors of definitions by their digests, and the comparison with a question."""

    def __init__(self, services: Services, model: str) -> None:
        self._services = services
        self._model = model
        self._kept: OrderedDict[bytes, array[float]] = OrderedDict()
        self._bytes = 0

    async def ranked(self, call: Call, question: str, texts: Sequence[str]) -> list[int]:
        """Return the texts by nearness to the question; empty when nobody can tell."""
        digests = [hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in texts]
        lacking = [number for number, digest in enumerate(digests) if digest not in self._kept][
            :_MAX_NEW
        ]

        try:
            (asked,) = await self._embed(call, [question])

            for start in range(0, len(lacking), _BATCH):
                batch = lacking[start : start + _BATCH]
                made = await self._embed(call, [texts[number] for number in batch])

                for number, vector in zip(batch, made, strict=True):
                    self._keep(digests[number], vector)
        except GatewayError as exc:
            self._services.observability.log(
                Level.INFO, "mcp.search.by_words", {"model": self._model, "error": exc.code}
            )
            return []

        kept = ((number, self._kept.get(digest)) for number, digest in enumerate(digests))
        nearness = {
            number: _nearness(asked, near)
            for number, near in kept
            if near is not None and len(near) == len(asked)
        }
        return sorted(nearness, key=lambda number: (-nearness[number], number))

    async def _embed(self, call: Call, texts: Sequence[str]) -> list[array[float]]:
        said: list[Json] = [text[:_MAX_TEXT] for text in texts]
        result = await self._services.catalog.invoke(
            call.context,
            Invocation(
                target=Target(kind=Kind.MODEL, name=self._model),
                arguments={"input": said},
                deadline=call.deadline,
                depth=call.depth + 1,
            ),
        )
        data = result.payload.get("data") if isinstance(result, Complete) else None
        entries = data if isinstance(data, list) else []
        vectors = [_vector(entry) for entry in entries]

        if len(vectors) != len(texts):
            raise GatewayError("The model sent no vectors.", code="mcp.search.vectors")

        return vectors

    def _keep(self, digest: bytes, vector: array[float]) -> None:
        self._bytes += len(vector) * vector.itemsize
        self._kept[digest] = vector

        while self._bytes > _MAX_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest) * oldest.itemsize


def vectors_of(services: Services, model: str | None) -> Vectors | None:
    """Return what finds by meaning; None where no model is named."""
    return None if model is None else Vectors(services, model)


def _vector(entry: Json) -> array[float]:
    numbers = entry.get("embedding") if isinstance(entry, dict) else None
    found = numbers if isinstance(numbers, list) else []
    vector = array("f", (number for number in found if isinstance(number, int | float)))
    length = math.sqrt(sum(number * number for number in vector))
    return array("f", (number / length for number in vector)) if length else vector


def _nearness(one: array[float], other: array[float]) -> float:
    return sum(map(float.__mul__, one, other))
