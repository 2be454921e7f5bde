"""`auth` of a gateway as the control plane takes it: values are put aside, references are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from spindle.config.gateway_auth import (
    SECRET_PARTS,
    AuthTerms,
    HeaderName,
    auth_of,
    gateway_auth_faults,
)
from spindle_spi.secret import SecretRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spindle_spi.records import GatewaySpec
    from spindle_spi.types import Json, JsonObject

Value = Annotated[str, Field(max_length=65_536)]

_PLANNED = SecretRef(name="planned")
"""Stands for a value that is not put aside yet, in a draft that is not written."""


class AuthBody(AuthTerms):
    """`auth` of a gateway: secrets as values, write-only; an empty one of a header stays as is."""

    headers: Annotated[dict[HeaderName, Value], Field(max_length=20)] = Field(
        default={}, repr=False
    )
    client_secret: Value | None = Field(default=None, repr=False)
    client_key: Value | None = Field(default=None, repr=False)
    subject_key: Value | None = Field(default=None, repr=False)


def values_in(data: Mapping[str, Json]) -> Iterator[str]:
    """Return every secret value in the body of a gateway, or in what changes of one."""
    auth = data.get("auth")

    if not isinstance(auth, dict):
        return

    headers = auth.get("headers")
    found = [auth.get(part) for part in SECRET_PARTS]

    if isinstance(headers, dict):
        found += headers.values()

    yield from (value for value in found if isinstance(value, str) and value)


def with_auth(
    spec: GatewaySpec,
    body: AuthBody | None,
    given: Mapping[str, Json],
    before: GatewaySpec | None,
    put: Mapping[str, SecretRef],
) -> GatewaySpec:
    """Return a spec with the `auth` of a body, whose values are those that were put aside.

    What is not given again keeps its secret; a null in what is given takes it away.
    """
    if body is None:
        return replace(spec, auth=None)

    old = None if before is None else before.auth
    said = given.get("auth")
    nulled = {key for key, value in said.items() if value is None} if isinstance(said, dict) else ()
    headers = {name: _ref(value, put) for name, value in body.headers.items()}
    kept = {} if old is None else old.headers
    parts = {part: _ref(getattr(body, part), put) for part in SECRET_PARTS}

    for part in SECRET_PARTS:
        if parts[part] is None and old is not None and part not in nulled:
            parts[part] = getattr(old, part)

    return replace(
        spec,
        auth=auth_of(
            body,
            {name: ref for name in headers if (ref := headers[name] or kept.get(name)) is not None},
            {part: ref for part, ref in parts.items() if ref is not None},
        ),
    )


def plain_auth(auth: JsonObject) -> JsonObject:
    """Return the `auth` of a spec as a body says it, without its secrets."""
    headers = auth.get("headers")
    plain: JsonObject = {key: value for key, value in auth.items() if value is not None}

    for part in SECRET_PARTS:
        plain.pop(part, None)

    named = headers if isinstance(headers, dict) else {}
    plain["headers"] = dict.fromkeys(named, "")
    return plain


def faults_of(spec: GatewaySpec) -> list[str]:
    """Return what contradicts itself in the `auth` of a gateway, a sentence each."""
    if spec.auth is None:
        return []

    found = gateway_auth_faults(
        ("auth",), spec.auth, transport=spec.transport, has_credential=spec.credential is not None
    )
    return [_sentence(fault.path, fault.problem, fault.expected) for fault in found]


def _sentence(path: tuple[str | int, ...], problem: str, expected: str) -> str:
    said = f"{'.'.join(map(str, path))}: {problem}"
    return f"{said}; expected {expected}" if expected else said


def _ref(value: str | None, put: Mapping[str, SecretRef]) -> SecretRef | None:
    return put.get(value, _PLANNED) if value else None
