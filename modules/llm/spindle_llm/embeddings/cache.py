"""Vectors for inputs, from what was kept, from who is asking just now, or from the upstream.

It is looked at only under a permit, and for the inputs as plugins left them. Equal inputs that are
asked for at the same time are asked of the upstream once.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, TypeVar

import anyio

from spindle_llm.embeddings.keys import input_hash, keys_of, whole_key
from spindle_llm.embeddings.query import size_of
from spindle_llm.embeddings.vectors import Vector
from spindle_spi.admission import Embedded, TokenUsage
from spindle_spi.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle_llm.embeddings.asking import Asker
    from spindle_llm.embeddings.query import Input
    from spindle_llm.embeddings.store import VectorStore
    from spindle_llm.relay.journal import Journal

_K = TypeVar("_K")
_HEAD = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A vector, and the tokens its input had."""

    vector: Vector
    tokens: int

    def packed(self) -> bytes:
        """Return it as a store keeps it."""
        return _HEAD.pack(min(self.tokens, 2**32 - 1)) + self.vector.packed

    @classmethod
    def read(cls, data: bytes, dimensions: int | None) -> Kept | None:
        """Return what a store had; None when it is no vector, or one of another length."""
        size = len(data) - _HEAD.size

        if size <= 0 or size % 4 or dimensions not in (None, size // 4):
            return None

        return cls(vector=Vector(data[_HEAD.size :]), tokens=_HEAD.unpack_from(data)[0])


class _Flight:
    """An input that somebody is asking for."""

    __slots__ = ("_ended", "has_failed", "kept")

    def __init__(self) -> None:
        self._ended = anyio.Event()
        self.kept: Kept | None = None
        self.has_failed = False
        """The upstream did not give it; without that, whoever asked has left."""

    def end(self) -> None:
        """Tell everybody who waits."""
        self._ended.set()

    async def wait(self) -> None:
        """Wait for its end."""
        await self._ended.wait()


class EmbeddingsCache:
    """Vectors that were made before, or are being made."""

    def __init__(self, store: VectorStore | None = None, *, shared: bool = False) -> None:
        """Keep vectors in a store; without one every input is asked for."""
        self._store = store
        self._shared = shared
        self._flights: dict[str, _Flight] = {}

    async def vectors(self, asker: Asker, inputs: Sequence[Input], journal: Journal) -> list[Kept]:
        """Return the vector of every input, in order; the journal says how they were come by.

        Raises:
            InvalidArgument: The upstream says the request is wrong.
            RateLimited: The upstream's limits are exhausted.
            UpstreamError: The upstream failed, or sent other vectors than were asked for.
        """
        keys = keys_of(asker, inputs, shared=self._shared)
        journal.idempotency_key = whole_key(keys)
        asked = _Asked(asker, journal)

        try:
            if self._store is None:
                kept = await asked.ask(dict(enumerate(inputs)))
                found = [kept[number] for number in range(len(inputs))]
            else:
                by_key = await self._find(self._store, dict(zip(keys, inputs, strict=True)), asked)
                found = [by_key[key] for key in keys]
        except BaseException:
            journal.embedded = Embedded(count=0, input_hash=input_hash(inputs))
            raise

        if not asked.count:
            journal.cache_hit = True
            # Nothing was used: kept vectors cost nothing.
            journal.usage = TokenUsage()

        journal.embedded = Embedded(
            count=len(found),
            dimension=len(found[0].vector),
            input_hash=input_hash(inputs),
            cached_count=len(found) - asked.count,
        )
        return found

    async def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            await self._store.close()

    async def _find(
        self, store: VectorStore, wanted: Mapping[str, Input], asked: _Asked
    ) -> dict[str, Kept]:
        found: dict[str, Kept] = {}
        failed: list[str] = []

        while left := [key for key in wanted if key not in found and key not in failed]:
            theirs = {key: self._flights[key] for key in left if key in self._flights}
            mine = {key: wanted[key] for key in left if key not in theirs}

            if mine:
                found |= await self._fly(store, mine, asked)

            for key, flight in theirs.items():
                await flight.wait()

                if flight.kept is not None:
                    found[key] = flight.kept
                elif flight.has_failed:
                    failed.append(key)

        # The failure was another call's, with other inputs beside; this call asks for itself.
        if failed:
            found |= await asked.ask({key: wanted[key] for key in failed})

        return found

    async def _fly(
        self, store: VectorStore, mine: Mapping[str, Input], asked: _Asked
    ) -> dict[str, Kept]:
        """Return what nobody else is asking for, so that others need not ask."""
        flights = {key: _Flight() for key in mine}
        self._flights |= flights
        found: dict[str, Kept] = {}

        try:
            for key, data in (await store.get([*mine])).items():
                kept = Kept.read(data, asked.asker.dimensions)

                if kept is not None:
                    found[key] = flights[key].kept = kept

            missing = {key: entry for key, entry in mine.items() if key not in found}

            if missing:
                fresh = await asked.ask(missing)

                for key, kept in fresh.items():
                    found[key] = flights[key].kept = kept

                await store.put({key: kept.packed() for key, kept in fresh.items()})
        except GatewayError:
            for flight in flights.values():
                flight.has_failed = True

            raise
        finally:
            for key, flight in flights.items():
                del self._flights[key]
                flight.end()

        return found


class _Asked:
    """What one call asks of the upstream itself."""

    __slots__ = ("asker", "count", "journal")

    def __init__(self, asker: Asker, journal: Journal) -> None:
        self.asker = asker
        self.journal = journal
        self.count = 0

    async def ask(self, inputs: Mapping[_K, Input]) -> dict[_K, Kept]:
        """Return the vectors of inputs, with what of the tokens is each one's."""
        said = [*inputs.values()]
        self.count += len(said)
        before = _tokens_of(self.journal)
        vectors = await self.asker.ask(said, self.journal)
        shares = _shares(_tokens_of(self.journal) - before, [size_of([entry]) for entry in said])
        return {
            key: Kept(vector=vector, tokens=tokens)
            for key, vector, tokens in zip(inputs, vectors, shares, strict=True)
        }


def _tokens_of(journal: Journal) -> int:
    return 0 if journal.usage is None else journal.usage.input_tokens


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """Return a total in parts by weight; together they are the total."""
    whole = sum(weights) or 1
    ends = [0, *(total * reached // whole for reached in accumulate(weights))]
    return [end - start for start, end in pairwise(ends)]
