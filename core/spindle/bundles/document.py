"""A bundle: catalog records as one YAML or JSON document, by kind and name.

bundle: 1
providers: {openai: {urls: ["https://api.openai.com/v1"]}}
models: {openai~gpt: {fallbacks: [openai~mini]}}
published: {tools: {demo-add: {visibility: team, team: red}}}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spindle.catalog.auth import values_in
from spindle.catalog.bodies import SECRETS
from spindle.catalog.kinds import KINDS
from spindle.config.faults import Fault, Path, describe_type, unknown_key
from spindle_spi.errors import InvalidArgument
from spindle_spi.records import Kind
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION: Final = 1
PUBLISHED: Final = "published"
"""Section of what is wanted of records that upstreams publish."""
READ_ONLY: Final = "read_only"
"""Section that an import does not look at."""
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_ITEMS: Final = 1000

SECTIONS: Final = {
    KINDS[kind].path: kind
    for kind in (Kind.PROVIDER, Kind.MODEL, Kind.GATEWAY, Kind.TOOL, Kind.TOOLSET, Kind.SERVER)
}
"""Kinds that are made here by section, those first that others refer to."""
PUBLISHED_SECTIONS: Final = {rules.path: kind for kind, rules in KINDS.items()}

_REFERENCES: Final = frozenset(f"{word}_ref" for word in SECRETS)
"""What an export says of secrets; for people to read."""
_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One record as the bundle wants it."""

    kind: Kind
    name: str
    body: JsonObject
    is_published: bool = False
    has_secret: bool = False
    """The document says that it refers to one, which cannot be in the document."""

    @property
    def path(self) -> Path:
        """Where it stands in the bundle."""
        section = KINDS[self.kind].path
        return (PUBLISHED, section, self.name) if self.is_published else (section, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What could be understood of a document, and what could not."""

    items: tuple[Item, ...]
    faults: tuple[Fault, ...] = ()
    places: dict[Path, str]
    """Lines, of YAML."""


def read_bundle(data: bytes, *, is_json: bool, label: str = "") -> Bundle:
    """Return a document as a bundle.

    Raises:
        InvalidArgument: It is no YAML or JSON, no mapping, or beyond the bounds.
    """
    from spindle.config.yaml_source import UnreadableFile, read_text

    if is_json:
        return bundle_of(_from_json(data))

    name = label or "The document"

    try:
        found = read_text(data, name, label)
    except UnreadableFile as exc:
        raise _unreadable(f"{exc.fault.problem}.") from exc

    bundle = bundle_of(found.data)
    places = {path: place.removeprefix(", ") for path, place in found.places.items()}
    return Bundle(items=bundle.items, faults=(*found.faults, *bundle.faults), places=places)


def bundle_of(data: JsonObject) -> Bundle:
    """Return plain data as a bundle, with everything that is wrong about its form."""
    faults: list[Fault] = []
    items: list[Item] = []

    if data.get("bundle") != VERSION:
        faults.append(
            Fault(path=("bundle",), problem="is not a version known here", expected=str(VERSION))
        )

    known = {"bundle", READ_ONLY, PUBLISHED, *SECTIONS}
    faults += [unknown_key((key,), known, "section") for key in data if key not in known]

    # In the order of the sections, not of the document: what others refer to comes first.
    for section, kind in SECTIONS.items():
        items += _items((section,), kind, data.get(section), faults)

    published = data.get(PUBLISHED)

    for section, entries in _mapping((PUBLISHED,), published, faults):
        if section in PUBLISHED_SECTIONS:
            items += _items((PUBLISHED, section), PUBLISHED_SECTIONS[section], entries, faults)
        else:
            faults.append(unknown_key((PUBLISHED, section), PUBLISHED_SECTIONS, "section"))

    if len(items) > MAX_ITEMS:
        raise _unreadable(f"The bundle has more than {MAX_ITEMS} records.")

    return Bundle(items=tuple(items), faults=tuple(faults), places={})


def _items(path: Path, kind: Kind, entries: Json, faults: list[Fault]) -> Iterator[Item]:
    for name, entry in _mapping(path, entries, faults):
        inner = (*path, name)

        if entry is not None and not isinstance(entry, dict):
            faults.append(Fault(path=inner, problem=describe_type(entry), expected="a mapping"))
            continue

        body = dict(entry or {})

        for word in SECRETS & body.keys():
            problem = "a secret does not belong into a bundle"
            expected = f"{KINDS[kind].path[:-1]} update NAME --{word.replace('_', '-')}-stdin"
            faults.append(Fault(path=(*inner, word), problem=problem, expected=expected))

        if any(values_in(body)):
            problem = "a secret does not belong into a bundle"
            expected = "gateways update NAME --auth-stdin"
            faults.append(Fault(path=(*inner, "auth"), problem=problem, expected=expected))

        has_secret = bool(_REFERENCES & body.keys())

        for word in (SECRETS | _REFERENCES) & body.keys():
            del body[word]

        yield Item(
            kind=kind,
            name=name,
            body=_identified(kind, name, body, inner, faults) if path[0] != PUBLISHED else body,
            is_published=path[0] == PUBLISHED,
            has_secret=has_secret,
        )


def _identified(
    kind: Kind, name: str, body: JsonObject, path: Path, faults: list[Fault]
) -> JsonObject:
    """Return a body with the keys that its name stands for."""
    provider, separator, upstream = name.partition("~")
    identity: JsonObject = {"name": name}

    if kind is Kind.MODEL:
        identity = {"provider": provider, "upstream_name": upstream}

        if not separator or not provider or not upstream:
            faults.append(
                Fault(path=path, problem=f"{name[:80]!r} is not a name", expected="provider~model")
            )

    for key, value in identity.items():
        if body.get(key, value) != value:
            problem = "says another name than the key it stands under"
            faults.append(Fault(path=(*path, key), problem=problem, expected="no such key"))

    return {**body, **identity}


def _mapping(path: Path, value: Json, faults: list[Fault]) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict):
        yield from value.items()
    elif value is not None:
        expected = "a mapping of records by name"
        faults.append(Fault(path=path, problem=describe_type(value), expected=expected))


def _from_json(data: bytes) -> JsonObject:
    if len(data) > MAX_BYTES:
        raise _unreadable(f"The document is longer than {MAX_BYTES} bytes.")

    def once(pairs: list[tuple[str, Json]]) -> JsonObject:
        found: JsonObject = {}

        for key, value in pairs:
            if key in found:
                raise _unreadable(f"The document has the key {key[:80]!r} twice in one object.")

            found[key] = value

        return found

    try:
        value: Json = json.loads(data, object_pairs_hook=once)
    except RecursionError as exc:
        raise _unreadable("The document is nested too deeply.") from exc
    except ValueError as exc:
        raise _unreadable("The document is not valid JSON.") from exc

    if not isinstance(value, dict):
        raise _unreadable("The document is not a JSON object.")

    if _depth(value, _MAX_DEPTH) > _MAX_DEPTH:
        raise _unreadable("The document is nested too deeply.")

    return value


def _depth(value: Json, most: int) -> int:
    """Return how deep a value is nested; beyond `most` it does not matter."""
    if not isinstance(value, dict | list) or most < 0:
        return 0

    inner = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(entry, most - 1) for entry in inner), default=0)


def _unreadable(message: str) -> InvalidArgument:
    return InvalidArgument(message, code="core.bundle.unreadable")
