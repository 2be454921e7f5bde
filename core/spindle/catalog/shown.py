"""A catalog record as the control plane shows it, and which of them a filter means."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from spindle.catalog.kinds import body_of
from spindle.config.programs import program_keys
from spindle.directory.shown import moment
from spindle_spi.errors import InvalidArgument
from spindle_spi.records import (
    CatalogRecord,
    GatewaySpec,
    ProviderSpec,
    ServerSpec,
    Visibility,
    backend_name,
    secret_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle.store.catalog import Authorship
    from spindle_spi.types import Json, JsonObject

FILTERS = ("visibility", "team", "owner", "enabled", "origin", "tag", "q")
"""Query parameters of every list of records."""

_GUARDED = ("options", "defaults", "definition")
"""Free-form parts of a spec: shown in a record's own answer to those who may change it."""
PROGRAM = ("command", "environment", "environment_secrets", "directory", "limits")
"""The same, in the words of its body."""


def shown(
    record: CatalogRecord, author: Authorship | None = None, *, epoch: int, whole: bool = False
) -> JsonObject:
    """Return a record as JSON, never with a secret; `whole` with its free-form parts, too."""
    spec: JsonObject = json.loads(json.dumps(asdict(record.spec)))

    for key in ("api_key", "credential", *PROGRAM, *(() if whole else _GUARDED)):
        spec.pop(key, None)

    if whole and isinstance(record.spec, GatewaySpec):
        spec |= program_keys(record.spec)

    return {
        "id": record.id,
        "kind": record.kind.value,
        "name": record.name,
        "module": record.module,
        "description": record.description,
        "owner": record.owner,
        "team": record.team,
        "visibility": record.visibility.value,
        "enabled": record.enabled,
        "origin": record.origin,
        "tags": list(record.tags),
        "epoch": epoch,
        # A tool tells its description twice: the record's is the one in force.
        **{key: value for key, value in spec.items() if key != "description"},
        **_secret_shown(record),
        **({} if author is None else author_shown(author)),
    }


def author_shown(author: Authorship) -> JsonObject:
    """Return who made a record and who changed it last, with the moments as dates in UTC."""
    return {
        "created_at": moment(author.created_at),
        "created_by": author.created_by,
        "updated_at": moment(author.updated_at),
        "updated_by": author.updated_by,
    }


def audited(record: CatalogRecord | None) -> Json:
    """Return a record as the audit log keeps it."""
    if record is None:
        return None

    kept: JsonObject = {"name": record.name, **body_of(record), **_secret_shown(record)}
    return kept


def _secret_shown(record: CatalogRecord) -> JsonObject:
    ref = secret_of(record.spec)

    match record.spec:
        case ProviderSpec():
            word = "api_key"
        case GatewaySpec():
            word = "credential"
        case _:
            return {}

    return {f"{word}_set": ref is not None, f"{word}_ref": None if ref is None else ref.name}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """Which records are wanted; None wants any."""

    visibility: Visibility | None = None
    team: str | None = None
    owner: str | None = None
    enabled: bool | None = None
    origin: str | None = None
    tag: str | None = None
    source: str | None = None
    """What serves the record: the name of its provider or gateway."""
    text: str | None = None
    """In name, description or tags, whatever the case."""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> RecordFilter:
        """Read the parameters of a list.

        Raises:
            InvalidArgument: A value is none of its parameter's.
        """
        return cls(
            visibility=_visibility(query.get("visibility")),
            team=query.get("team"),
            owner=query.get("owner"),
            enabled=_switch(query.get("enabled")),
            origin=query.get("origin"),
            tag=query.get("tag"),
            source=query.get("provider", query.get("gateway")),
            text=query["q"].casefold() if query.get("q") else None,
        )

    def takes(self, record: CatalogRecord) -> bool:
        """Tell whether a record is wanted."""
        exact = (
            (self.visibility, record.visibility),
            (self.team, record.team),
            (self.owner, record.owner),
            (self.enabled, record.enabled),
            (self.origin, record.origin),
            (self.source, _source_of(record)),
        )
        return (
            all(wanted is None or wanted == found for wanted, found in exact)
            and (self.tag is None or self.tag in record.tags)
            and (self.text is None or self.text in _text_of(record))
        )


def _source_of(record: CatalogRecord) -> str | None:
    backend = backend_name(record.spec)
    return None if backend is None else backend[1]


def _text_of(record: CatalogRecord) -> str:
    slug = record.spec.slug if isinstance(record.spec, ServerSpec) else ""
    return "\n".join((record.name, slug, record.description, *record.tags)).casefold()


def _visibility(text: str | None) -> Visibility | None:
    try:
        return None if text is None else Visibility(text)
    except ValueError:
        raise InvalidArgument("visibility: expected public, team or private.") from None


def _switch(text: str | None) -> bool | None:
    if text not in (None, "true", "false"):
        raise InvalidArgument("enabled: expected true or false.")

    return None if text is None else text == "true"
