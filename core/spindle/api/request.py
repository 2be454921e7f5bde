"""A request to the control plane, read with care: bounded, typed, every fault named by its path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, ValidationError

from spindle.api.texts import check_json, check_text
from spindle.config.faults import model_fault, render_fault
from spindle.ingress.requests import client_ip_of
from spindle_spi.errors import FailedPrecondition, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.ingress import Call
    from spindle_spi.types import Receive, Scope

_MAX_FAULTS = 20

T = TypeVar("T", bound="Body")


class Body(BaseModel):
    """Base of every request body: no unknown keys, no guesses about types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    policies: ClassVar[Mapping[str, str]] = {}
    """By key: the policy rule that a value which is refused breaks."""


class Request:
    """One request; `context` is who asks."""

    def __init__(self, scope: Scope, receive: Receive, call: Call) -> None:
        self.call = call
        self.scope = scope
        self._receive = receive
        self._query: dict[str, str] | None = None

    @property
    def context(self) -> AuthenticatedContext:
        """Who asks, resolved by the core."""
        return self.call.context

    @property
    def client_ip(self) -> str | None:
        """Where the request comes from."""
        return client_ip_of(self.scope)

    def path(self, name: str) -> str:
        """Return a parameter of the path.

        Raises:
            InvalidArgument: It has a character that no name has.
        """
        value: str = self.scope["path_params"][name]
        check_text(name, value)
        return value

    def header(self, name: str) -> str | None:
        """Return a header's value; what is there twice is one list, as HTTP has it."""
        wanted = name.lower().encode()
        values = [
            value.decode("latin-1") for each, value in self.scope["headers"] if each == wanted
        ]
        return ", ".join(values) if values else None

    @property
    def query(self) -> Mapping[str, str]:
        """The query's parameters.

        Raises:
            InvalidArgument: One is there twice, or has a character that no text has.
        """
        if self._query is None:
            pairs = parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)

            for name, value in pairs:
                check_text(name, value)

            self._query = dict(pairs)

            if len(self._query) != len(pairs):
                raise InvalidArgument("A query parameter is there twice.")

        return self._query

    def check_query(self, *known: str) -> None:
        """Refuse parameters nobody knows: a filter with a typing error must not widen an answer.

        Raises:
            InvalidArgument: One is not among `known`.
        """
        for name in self.query:
            if name not in known:
                raise InvalidArgument(
                    f"There is no query parameter {name!r} here; known: {', '.join(sorted(known))}."
                )

    def choice(self, name: str, words: Sequence[str]) -> str | None:
        """Return a parameter that is one of some words, if it is there.

        Raises:
            InvalidArgument: It is another one: a filter nothing passes is a typing error.
        """
        said = self.query.get(name)

        if said is not None and said not in words:
            raise InvalidArgument(f"{name}: expected one of {', '.join(words)}.")

        return said

    async def body(self) -> bytes:
        """Return the whole body; the ingress bounds it.

        Raises:
            InvalidArgument: The client left before its end.
        """
        parts: list[bytes] = []

        while True:
            message = await self._receive()

            if message["type"] == "http.disconnect":
                raise InvalidArgument("The body is not complete.")

            parts.append(message.get("body", b""))

            if not message.get("more_body", False):
                return b"".join(parts)

    async def json(self, model: type[T]) -> T:
        """Return the body as a model.

        Raises:
            InvalidArgument: It is no JSON, or no such model; every fault is named by its path.
        """
        return parse(model, await self.body())

    def check_match(self, etag: str) -> None:
        """Refuse a write that was meant for another state of the record.

        Raises:
            FailedPrecondition: The header If-Match names another state (412).
        """
        wanted = self.header("if-match")

        if wanted is not None and wanted != "*" and etag not in _tags(wanted):
            raise FailedPrecondition(
                "It was changed since it was read: read it again, then repeat the change.",
                code="core.record.changed",
                http_status=412,
            )


def parse(model: type[T], data: bytes) -> T:
    """Return JSON as a model.

    Raises:
        InvalidArgument: It is no JSON, or no such model; every fault is named by its path.
    """
    try:
        parsed = model.model_validate_json(data)
    except ValidationError as exc:
        errors = exc.errors(include_url=False)
    else:
        check_json(data)
        return parsed

    if errors[0]["type"] == "json_invalid":
        raise InvalidArgument("The body is not valid JSON.")

    faults = [
        render_fault(model_fault(error, model), {})
        for error in errors[:_MAX_FAULTS]
        if error["type"] != "default_factory_not_called"  # follows from another fault
    ]
    raise InvalidArgument(f"{'; '.join(faults)}.")


def etag_of(epoch: int) -> str:
    """Return the entity tag of a state."""
    return f'"{epoch}"'


def _tags(header: str) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in header.split(",")]
