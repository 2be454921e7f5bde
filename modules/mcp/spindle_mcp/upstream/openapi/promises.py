"""Checks an answer against the schema a tool shows for it, which clients hold it to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio.to_thread
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    from spindle_spi.types import Json, JsonObject

_SMALL: Final = 32_768
_LONGEST: Final = 2 * 1024 * 1024
_MAX_MESSAGE: Final = 300


class Promise:
    """The schema of one tool's answers, compiled on first use."""

    def __init__(self, schema: JsonObject) -> None:
        self._schema = schema
        self._validator: Validator | None = None

    async def fault_in(self, value: Json, size: int) -> str | None:
        """Return how an answer of so many bytes breaks the schema; None when it does not.

        An answer beyond the bound is not looked at.
        """
        if size > _LONGEST:
            return None

        if size <= _SMALL:
            return self._fault(value)

        return await anyio.to_thread.run_sync(self._fault, value)

    def _fault(self, value: Json) -> str | None:
        validator = self._validator or _compiled(self._schema)
        self._validator = validator

        try:
            error = next(iter(validator.iter_errors(value)), None)
        except (SchemaError, Unresolvable, RecursionError):
            return None

        if error is None:
            return None

        place = "/".join(str(part) for part in error.absolute_path)
        message = (
            error.message if len(error.message) <= _MAX_MESSAGE else "is not what it should be"
        )
        return f"{place}: {message}" if place else message


def _compiled(schema: JsonObject) -> Validator:
    # An empty registry of its own: the library's default one fetches over the network.
    return Draft202012Validator(schema, registry=Registry())
