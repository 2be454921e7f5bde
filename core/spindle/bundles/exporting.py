"""What a bundle says of a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.catalog.kinds import KINDS, body_of
from spindle_spi.records import CatalogRecord, Kind, secret_of

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject


def exported(record: CatalogRecord) -> Json:
    """Return a record without its name and its secret, which only its reference stands for."""
    body = _without_empty_parts(record.kind, body_of(record))

    for key in KINDS[record.kind].identity:
        body.pop(key, None)

    ref = secret_of(record.spec)

    if ref is not None:
        word = "api_key_ref" if record.kind is Kind.PROVIDER else "credential_ref"
        body[word] = ref.name

    return body


def _without_empty_parts(kind: Kind, body: JsonObject) -> JsonObject:
    """Leave out what says nothing: an empty part that is empty in a new record, too.

    Values stay, the usual ones among them: another release may have other defaults.
    """
    facts = body.get("facts")

    if isinstance(facts, dict):
        known: JsonObject = {k: v for k, v in facts.items() if v is not None and v is not False}
        body = {**body, "facts": known}

    model = KINDS[kind].body
    fields = {} if model is None else model.model_fields
    # To have none of them is something to say of these.
    never_empty = {key for key in fields if isinstance(fields[key].default, tuple)} & {
        key for key in fields if fields[key].default
    }
    return {
        key: value
        for key, value in body.items()
        if value is not None and (value not in ("", [], {}) or key in never_empty)
    }
