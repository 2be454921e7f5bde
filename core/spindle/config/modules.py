"""Checks the sections of modules by the JSON Schemas the modules give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from spindle.config.document import CATALOG_KEYS, Document
from spindle.config.faults import Fault, Path, unknown_key
from spindle.config.schema import schema_faults
from spindle_spi.types import Json, JsonObject

Schemas = Mapping[str, Mapping[str, Json]]


def module_faults(sections: Mapping[str, JsonObject], schemas: Schemas) -> list[Fault]:
    """Return what is wrong with modules' sections."""
    known = {*Document.model_fields, *schemas}
    faults = [
        unknown_key((name,), known, "section")
        for name in sections
        if name not in schemas and name not in CATALOG_KEYS
    ]

    for name, schema in schemas.items():
        section = sections.get(name, {})

        if name in Document.model_fields and name not in CATALOG_KEYS:
            problem = "a module claims this section, which is the core's"
            faults.append(Fault(path=(name,), problem=problem))
        elif section or "required" in schema:
            faults += schema_faults((name,), section, schema, "the module")

        faults += _secret_faults((name,), section)

    return faults


def _secret_faults(path: Path, value: Json) -> Iterator[Fault]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "api_key":
                problem = "a key in a module's section would be shown to everybody who reads it"
                expected = "a service or gateway that names a variable or file"
                yield Fault(path=(*path, key), problem=problem, expected=expected)

            yield from _secret_faults((*path, key), inner)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _secret_faults((*path, index), entry)
