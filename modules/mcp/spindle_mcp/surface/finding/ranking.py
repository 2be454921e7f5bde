"""Ranks tools by the words of a question: BM25 over names, descriptions and parameters.

Written out here: the small libraries that have it bring a numerical one along, for a page of code.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spindle_spi.types import Json, JsonObject

_SATURATION: Final = 1.2
_LENGTH_WEIGHT: Final = 0.75
_WORD: Final = re.compile(r"[^\W_]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SILENT: Final = frozenset(
    (
        *("a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "in", "into", "is"),
        *("it", "of", "on", "or", "that", "the", "this", "to", "with"),
    )
)
"""Words that say nothing of a tool."""
_MAX_TEXT: Final = 4000
"""Characters of one text that are read."""
_MAX_WORDS: Final = 64
"""Words of a question."""
_MAX_PARAMETERS: Final = 100
_NAME_WEIGHT: Final = 3
_TITLE_WEIGHT: Final = 2


class Ranking:
    """An index of documents, each given as its words."""

    __slots__ = ("_average", "_lengths", "_postings")

    def __init__(self, documents: Iterable[Sequence[str]]) -> None:
        self._postings: dict[str, list[tuple[int, int]]] = {}
        self._lengths: list[int] = []

        for number, words in enumerate(documents):
            self._lengths.append(len(words))

            for word, count in Counter(words).items():
                self._postings.setdefault(word, []).append((number, count))

        self._average = sum(self._lengths) / len(self._lengths) if self._lengths else 1.0

    def ranked(self, question: str) -> list[int]:
        """Return the documents that have a word of the question, the best first."""
        scores: dict[int, float] = {}

        for word in dict.fromkeys(words_of(question)[:_MAX_WORDS]):
            found = self._postings.get(word, ())
            rarity = math.log1p((len(self._lengths) - len(found) + 0.5) / (len(found) + 0.5))

            for number, count in found:
                length = self._lengths[number] / (self._average or 1.0)
                bound = _SATURATION * (1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * length)
                gain = rarity * count * (_SATURATION + 1) / (count + bound)
                scores[number] = scores.get(number, 0.0) + gain

        return sorted(scores, key=lambda number: (-scores[number], number))


def fused(*rankings: Sequence[int]) -> list[int]:
    """Return one ranking of several, in which a place high up in any of them counts."""
    scores: dict[int, float] = {}

    for ranking in rankings:
        for place, number in enumerate(ranking):
            scores[number] = scores.get(number, 0.0) + 1 / (60 + place)

    return sorted(scores, key=lambda number: (-scores[number], number))


def words_of(text: str) -> list[str]:
    """Return the words of a text or of an identifier, in lower case and without a plural's s."""
    parted = _CAMEL.sub(" ", text[:_MAX_TEXT])
    found = _WORD.findall(parted.casefold())
    return [_stem(word) for word in found if word not in _SILENT]


def words_of_tool(name: str, definition: Mapping[str, Json]) -> list[str]:
    """Return the words a tool is found by; those of its name weigh most."""
    schema = definition.get("inputSchema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return [
        *words_of(name) * _NAME_WEIGHT,
        *words_of(_text(definition.get("title"))) * _TITLE_WEIGHT,
        *words_of(_text(definition.get("description"))),
        *_words_of_parameters(properties if isinstance(properties, dict) else {}),
    ]


def _words_of_parameters(properties: JsonObject) -> list[str]:
    return [
        word
        for name, schema in list(properties.items())[:_MAX_PARAMETERS]
        for text in (name, _text(schema.get("description") if isinstance(schema, dict) else None))
        for word in words_of(text)
    ]


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
