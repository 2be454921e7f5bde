"""What of a published record is its definition: what a model is told of it, and nothing else.

Who may see it, or which picture goes with it, is none of it.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import fields
from typing import TYPE_CHECKING, Final

from spindle_spi.records import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.records import PublishedRecord
    from spindle_spi.types import Json, JsonObject

PINNED_KINDS: Final = frozenset({Kind.TOOL, Kind.PROMPT, Kind.RESOURCE, Kind.RESOURCE_TEMPLATE})
_OF_THE_GATEWAY: Final = frozenset({"gateway", "definition"})
_TOLD: Final = ("title", "annotations", "arguments")
"""Parts of a protocol's own definition that models are told; not those for programs or the eye."""
_MAX_LINES: Final = 4000
"""Lines that are compared; comparing takes the square of it at worst."""


def definition_of(record: PublishedRecord) -> JsonObject:
    """Return a record's definition as JSON, without what is empty."""
    spec: JsonObject = {
        each.name: getattr(record.spec, each.name)
        for each in fields(record.spec)
        if each.name not in _OF_THE_GATEWAY
    }
    wire = getattr(record.spec, "definition", {})
    told: JsonObject = {key: wire[key] for key in _TOLD if key in wire}
    said: JsonObject = {**spec, **told, "description": record.description}
    return {key: value for key, value in said.items() if value not in (None, "", [], (), {})}


def source_name_of(record: PublishedRecord) -> str:
    """Return what its source calls a record: it stays when the operator changes a prefix."""
    for key in ("upstream_name", "uri", "uri_template"):
        name = getattr(record.spec, key, None)

        if isinstance(name, str) and name:
            return name

    return record.name


def canonical(definition: Json) -> str:
    """Return JSON as text that is equal exactly when the JSON is, one line an entry.

    In ASCII: what looks alike is told apart, and what cannot be seen is.
    """
    return json.dumps(definition, indent=1, sort_keys=True, ensure_ascii=True)


def digests_of(records: Sequence[PublishedRecord]) -> list[str]:
    """Return the digests of records' definitions; empty for what has none to be pinned."""
    return [
        digest_of(canonical(definition_of(record))) if record.kind in PINNED_KINDS else ""
        for record in records
    ]


def digest_of(text: str) -> str:
    """Return the digest of a canonical definition."""
    return hashlib.sha256(text.encode()).hexdigest()


def diff_of(before: str, after: str) -> str:
    """Return what changed between two canonical definitions as a unified diff."""
    old, new = before.splitlines(), after.splitlines()

    if len(old) + len(new) > _MAX_LINES:
        return "\n".join((*(f"-{line}" for line in old), *(f"+{line}" for line in new)))

    return "\n".join(difflib.unified_diff(old, new, "approved", "offered", lineterm=""))
