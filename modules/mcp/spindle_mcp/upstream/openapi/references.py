"""Local references of a document. What lies elsewhere is never fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_spi.types import Json, JsonObject

_MAX_HOPS: Final = 20
_IN_PLACE_LISTS: Final = ("allOf", "anyOf", "oneOf")
_IN_PLACE: Final = ("not", "if", "then", "else")


class Unresolvable(Exception):
    """A reference leads out of the document, nowhere, or in a circle."""


class References:
    """Finds what references of one document stand for."""

    def __init__(self, document: JsonObject) -> None:
        self._document = document
        self._endless: dict[str, bool] = {}

    def target(self, reference: str) -> tuple[str, Json]:
        """Return the last reference of a chain of them and what it stands for.

        Raises:
            Unresolvable: It stands for nothing here.
        """
        seen: set[str] = set()

        while True:
            if reference in seen or len(seen) >= _MAX_HOPS:
                raise Unresolvable("a reference leads in a circle")

            seen.add(reference)
            value = self._at(reference)
            further = value.get("$ref") if isinstance(value, dict) else None

            if not isinstance(further, str):
                return reference, value

            reference = further

    def followed(self, value: Json) -> JsonObject:
        """Return an object, or the one it refers to.

        Raises:
            Unresolvable: It is none.
        """
        reference = value.get("$ref") if isinstance(value, dict) else None

        if isinstance(reference, str):
            _, value = self.target(reference)

        if not isinstance(value, dict):
            raise Unresolvable("something is no object")

        return value

    def is_endless(self, reference: str) -> bool:
        """Tell whether a schema contains itself in its own place, so that it never ends."""
        found = self._endless.get(reference)

        if found is None:
            found = self._endless[reference] = self._comes_back(reference)

        return found

    def _comes_back(self, start: str) -> bool:
        seen: set[str] = set()
        ahead = [start]

        while ahead:
            try:
                value = self._at(ahead.pop())
            except Unresolvable:
                continue

            for reference in _in_place(value):
                if reference == start:
                    return True

                if reference not in seen:
                    seen.add(reference)
                    ahead.append(reference)

        return False

    def _at(self, reference: str) -> Json:
        if reference == "#":
            return self._document

        if not reference.startswith("#/"):
            raise Unresolvable("a reference leads out of the document")

        value: Json = self._document

        for part in unquote(reference[2:]).split("/"):
            name = part.replace("~1", "/").replace("~0", "~")

            if isinstance(value, dict) and name in value:
                value = value[name]
            elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            else:
                raise Unresolvable("a reference leads nowhere")

        return value


def _in_place(schema: Json) -> Iterator[str]:
    """Yield the references that a schema applies to the very value it is applied to."""
    ahead = [schema]

    while ahead:
        schema = ahead.pop()

        if not isinstance(schema, dict):
            continue

        reference = schema.get("$ref")

        if isinstance(reference, str):
            yield reference

        for key in _IN_PLACE_LISTS:
            branches = schema.get(key)
            ahead += branches if isinstance(branches, list) else []

        ahead += [schema[key] for key in _IN_PLACE if key in schema]
