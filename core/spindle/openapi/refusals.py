"""What errors look like in the document: one schema a shape, read off the shape's own table."""

from __future__ import annotations

import json
from string import Template
from typing import TYPE_CHECKING, Final

from spindle_spi.errors import Category, Origin
from spindle_spi.ingress import PUBLIC

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle.ingress.routes import Mount
    from spindle_spi.operation import OperationDoc
    from spindle_spi.shapes import ErrorShape
    from spindle_spi.types import Json, JsonObject

WORDS: Final = {
    400: "The request is not valid; the message says where.",
    401: "No credential, or one that is not known here.",
    403: "The caller lacks the permission, or comes from an origin that is not served.",
    404: "There is nothing there, or nothing this caller may know of: the answer is the same.",
    405: "The path has no such method.",
    406: "The client takes no form in which this is answered.",
    408: "The body did not come in time.",
    409: "It contradicts what is there.",
    412: "It was changed since it was read.",
    413: "The body is too large.",
    415: "The body has a form that is not taken.",
    421: "This server does not answer for that host.",
    422: "It can be read and cannot be done.",
    429: "Too much in too short a time, or a budget is spent.",
    500: "Something went wrong here.",
    501: "That is not served here.",
    502: "The upstream failed.",
    503: "Not at the moment; see `retry-after`.",
    504: "The upstream did not answer in time.",
}

_SAMPLE: Final = "\x00"
_VALUES: Final[dict[str, JsonObject]] = {
    "message": {"type": "string"},
    "code": {"type": "string"},
    "param": {"type": ["string", "null"]},
    "category": {"type": "string", "enum": [category.value for category in Category]},
    "origin": {"type": "string", "enum": [origin.value for origin in Origin]},
    "retryable": {"type": "boolean"},
    "trace_id": {"type": "string"},
}
_WITH_BODY: Final = ("POST", "PUT", "PATCH")


def statuses_of(mount: Mount, said: OperationDoc | None) -> tuple[int, ...]:
    """Return the statuses of errors a route may answer with."""
    found = {400, 403, 421, 500, 503, *(() if said is None else said.refusals)}

    if mount.route.permission is not PUBLIC:
        found |= {401, 429}

    if mount.names:
        found.add(404)

    if mount.method in _WITH_BODY:
        found |= {408, 413}

    return tuple(sorted(found))


def schema_of(shape: ErrorShape) -> JsonObject:
    """Return what every error of a shape is: the forms of its cases, laid over each other."""
    cases = (*shape.cases.values(), *shape.by_status.values())
    values = {name: json.dumps(f"{_SAMPLE}{name}") for name in _VALUES}
    forms: list[Json] = [json.loads(Template(case.body).substitute(values)) for case in cases]
    words = shape.name.replace("-", " ").title().replace(" ", "")
    return {**_form(forms), "title": f"{words}Error"}


def _form(samples: Iterable[Json]) -> JsonObject:
    """Return the schema of values that have one form, with constants where they differ."""
    found = list(samples)
    objects = [each for each in found if isinstance(each, dict)]

    if objects and len(objects) == len(found):
        keys = dict.fromkeys(key for each in objects for key in each)
        return {
            "type": "object",
            "properties": {
                key: _form(each[key] for each in objects if key in each) for key in keys
            },
            "required": [key for key in keys if all(key in each for each in objects)],
        }

    unique = list({json.dumps(each): each for each in found}.values())
    first = unique[0]

    if len(unique) == 1 and isinstance(first, str) and first.startswith(_SAMPLE):
        return dict(_VALUES[first.removeprefix(_SAMPLE)])

    return {"enum": unique}
