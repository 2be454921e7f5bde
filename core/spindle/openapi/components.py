"""Schemas of the document: each once, under a name, whoever brought it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spindle_spi.types import Json, JsonObject

_LOCAL: Final = "#/$defs/"
_SHARED: Final = "#/components/schemas/"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")


class Components:
    """The part `components.schemas` while it is being filled."""

    def __init__(self) -> None:
        self.schemas: JsonObject = {}
        self._names: dict[str, str] = {}
        """What a schema has been named, by the schema itself."""

    def add(self, schema: JsonObject) -> JsonObject:
        """Return a schema as the document has it: what has a name is moved, and referred to.

        Schemas that say the same share a name; another one of that name gets a number.
        """
        own = dict(schema)
        defs = _objects(own.pop("$defs", {}))
        names = {name: self._name(name, _closure({name}, defs)) for name in sorted(defs)}

        for name, shared in names.items():
            self.schemas.setdefault(shared, _renamed(defs[name], names))

        moved = _renamed(own, names)
        title = own.get("title")

        if not isinstance(title, str) or not _NAME.fullmatch(title):
            return moved

        # One that is defined inside of another as well is the same to whoever reads it.
        used = _closure(_references(own), defs)
        shared = self._name(title, {title: own, **used})
        self.schemas.setdefault(shared, moved)
        return {"$ref": f"{_SHARED}{shared}"}

    def _name(self, wanted: str, meaning: JsonObject) -> str:
        key = json.dumps([wanted, meaning], sort_keys=True)
        known = self._names.get(key)

        if known is not None:
            return known

        name, number = wanted, 1

        while name in self._names.values():
            number += 1
            name = f"{wanted}{number}"

        self._names[key] = name
        return name


def _objects(value: Json) -> dict[str, JsonObject]:
    found = value if isinstance(value, dict) else {}
    return {name: schema for name, schema in found.items() if isinstance(schema, dict)}


def _closure(names: Iterable[str], defs: dict[str, JsonObject]) -> JsonObject:
    """Return definitions with all they refer to."""
    found: JsonObject = {}
    waiting = [name for name in names if name in defs]

    while waiting:
        name = waiting.pop()

        if name not in found:
            found[name] = defs[name]
            waiting.extend(each for each in _references(defs[name]) if each in defs)

    return found


def _references(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in value.items():
            if key == "$ref" and isinstance(member, str) and member.startswith(_LOCAL):
                yield member.removeprefix(_LOCAL)
            else:
                yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)


def _renamed(value: JsonObject, names: dict[str, str]) -> JsonObject:
    return {key: _moved(key, member, names) for key, member in value.items()}


def _moved(key: str, value: Json, names: dict[str, str]) -> Json:
    if key == "$ref" and isinstance(value, str) and value.startswith(_LOCAL):
        return f"{_SHARED}{names[value.removeprefix(_LOCAL)]}"

    if isinstance(value, dict):
        return _renamed(value, names)

    if isinstance(value, list):
        return [_moved("", member, names) for member in value]

    return value
