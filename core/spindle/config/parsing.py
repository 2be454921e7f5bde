"""Turns merged values into a `Document`, collecting every fault instead of stopping at the first.

What is faulty is taken out and the rest looked at again, so that checks across the whole
configuration see as much of it as can be understood.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection

from pydantic import ValidationError

from spindle.config.document import CATALOG_KEYS, Document
from spindle.config.faults import Fault, Path, model_fault
from spindle.config.sources import Sources
from spindle_spi.types import Json, JsonObject

_ROUNDS = 5
_NAMED = (("llm", "services"), ("mcp", "gateways"), ("servers",), ("model_tools",), ("toolsets",))
"""Mappings whose values are entries of their own: `mock:` alone is an entry with all defaults."""
_VERBATIM = frozenset({"options", "defaults", "config"})
"""Keys whose values are somebody else's: a null in them may mean something."""


def parse_document(sources: Sources) -> Document:
    """Return what can be understood; faults are added to the sources'."""
    data = _known_part(sources.data)

    for number in range(_ROUNDS):
        try:
            return Document.model_validate_json(json.dumps(data))
        except ValidationError as exc:
            wrong = exc.errors(include_url=False)

            for error in wrong:
                path = error["loc"]

                if error["type"] == "default_factory_not_called":
                    continue  # follows from another fault

                if error["type"] == "string_type" and path in sources.texts:
                    # A variable that looks like a number is a text where a text is wanted.
                    _set(data, path, sources.texts[path])
                    continue

                if number == 0 or path in sources.texts:
                    sources.faults.append(model_fault(error, Document))

                _remove(data, path[:-1] if error["type"] == "missing" else path)

            _close_gaps(data)

    return Document()


def module_sections(data: JsonObject) -> dict[str, JsonObject]:
    """Return the sections that belong to modules, without what the core's catalog takes."""
    sections: dict[str, JsonObject] = {}

    for name, value in data.items():
        if name in Document.model_fields and name not in CATALOG_KEYS:
            continue

        taken = CATALOG_KEYS.get(name, ())
        keys = value if isinstance(value, dict) else {}
        sections[name] = {key: inner for key, inner in keys.items() if key not in taken}

    return sections


def section_faults(data: JsonObject, known: Collection[str]) -> list[Fault]:
    """Return the faults of known module sections that are no mappings."""
    return [
        Fault(path=(name,), problem="is not a section", expected="a mapping")
        for name, value in data.items()
        if name in known
        and name not in Document.model_fields
        and not isinstance(value, dict | None)
    ]


def _known_part(data: JsonObject) -> JsonObject:
    known: JsonObject = {}

    for name, value in data.items():
        taken = CATALOG_KEYS.get(name)

        if taken is not None and isinstance(value, dict):
            known[name] = {key: value[key] for key in taken if key in value}
        elif name in Document.model_fields:
            known[name] = value

    known = copy.deepcopy(known)

    for path in _NAMED:
        entries = _get(known, path)

        if isinstance(entries, dict):
            entries |= {name: {} for name, value in entries.items() if value is None}

    without_nulls = _without_nulls(known)
    return without_nulls if isinstance(without_nulls, dict) else {}


def _without_nulls(value: Json) -> Json:
    if isinstance(value, dict):
        return {
            key: inner if key in _VERBATIM else _without_nulls(inner)
            for key, inner in value.items()
            if inner is not None
        }

    return [_without_nulls(entry) for entry in value] if isinstance(value, list) else value


def _close_gaps(value: Json) -> None:
    if isinstance(value, dict):
        for inner in value.values():
            _close_gaps(inner)
    elif isinstance(value, list):
        value[:] = [entry for entry in value if entry is not None]

        for entry in value:
            _close_gaps(entry)


def _get(data: Json, path: Path) -> Json:
    for part in path:
        data = data.get(str(part)) if isinstance(data, dict) else None

    return data


def _set(data: JsonObject, path: Path, value: Json) -> None:
    parent = _get(data, path[:-1])

    if isinstance(parent, dict):
        parent[str(path[-1])] = value


def _remove(data: JsonObject, path: Path) -> None:
    parent: Json = data

    for part in path[:-1]:
        match parent, part:
            case dict(), str() if part in parent:
                parent = parent[part]
            case list(), int() if part < len(parent):
                parent = parent[part]
            case _:
                return

    last = path[-1] if path else ""

    match parent, last:
        case dict(), str():
            parent.pop(last, None)
        case list(), int():
            # Closed later: until then the other entries are found by their numbers.
            parent[last] = None
        case _:
            pass
