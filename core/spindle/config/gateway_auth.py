"""`mcp.gateways.<name>.auth`: how a gateway proves itself to its upstream."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from spindle.config.auth import SecureUrl
from spindle.config.faults import Fault, Path
from spindle.config.sections import Section, Text, refuse
from spindle_spi.gateway_auth import (
    AUTHORIZATION_CODE,
    CLIENT_CREDENTIALS,
    HEADERS,
    TOKEN_EXCHANGE,
    GatewayAuth,
    is_settable_header,
)
from spindle_spi.secret import SecretRef

AuthType = Literal["headers", "client_credentials", "token_exchange", "authorization_code"]
ClientAuth = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]
KeyAlgorithm = Literal["ES256", "RS256", "EdDSA"]

SECRET_PARTS = ("client_secret", "client_key", "subject_key")
"""Secrets beside those of headers."""

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


def _check_header(name: str) -> str:
    if not is_settable_header(name):
        raise refuse(
            f"{name[:80]!r} is no header a gateway may set",
            "a name that is neither the connection's (Host, Content-Length, ...) nor MCP's (Mcp-*)",
        )

    return name


def _check_scope(scope: str) -> str:
    if not _SCOPE.fullmatch(scope):
        raise refuse("is no scope", "one word for each scope")

    return scope


HeaderName = Annotated[str, AfterValidator(_check_header)]
Scope = Annotated[Text, AfterValidator(_check_scope)]


class AuthTerms(Section):
    """What is said alike in the configuration and over the API: everything but the secrets."""

    type: AuthType = "headers"
    issuer: SecureUrl | None = None
    token_url: SecureUrl | None = None
    authorization_url: SecureUrl | None = None
    client_id: Text | None = None
    client_auth: ClientAuth | None = None
    key_algorithm: KeyAlgorithm = "ES256"
    key_id: Text | None = None
    scopes: tuple[Scope, ...] = ()
    resource: Text | None = None
    send_resource: bool = True
    audience: Text | None = None
    client_metadata: bool = False
    dynamic_registration: bool = False


class SecretPlace(Section):
    """Where a header's value is."""

    env_var: Text | None = None
    file: Text | None = None


class AuthEntry(AuthTerms):
    """`auth` of a declared gateway: secrets by where they are."""

    headers: Annotated[dict[HeaderName, SecretPlace], Field(max_length=20)] = {}
    client_secret_env_var: Text | None = None
    client_secret_file: Text | None = None
    client_key_env_var: Text | None = None
    client_key_file: Text | None = None
    subject_key_env_var: Text | None = None
    subject_key_file: Text | None = None

    def places(self) -> Iterator[tuple[Path, str | None, str | None]]:
        """Return each secret with its variable and its file; some have neither."""
        for name, place in self.headers.items():
            yield ("headers", name), place.env_var, place.file

        for part in SECRET_PARTS:
            yield (part,), getattr(self, f"{part}_env_var"), getattr(self, f"{part}_file")


def auth_of(
    terms: AuthTerms, headers: Mapping[str, SecretRef], parts: Mapping[str, SecretRef]
) -> GatewayAuth:
    """Return what a gateway shows, of what is said and the references of its secrets."""
    default = "client_secret_basic" if "client_secret" in parts else "none"
    return GatewayAuth(
        type=terms.type,
        headers=dict(headers),
        issuer=terms.issuer,
        token_url=terms.token_url,
        authorization_url=terms.authorization_url,
        client_id=terms.client_id,
        client_auth=terms.client_auth or ("private_key_jwt" if "client_key" in parts else default),
        client_secret=parts.get("client_secret"),
        client_key=parts.get("client_key"),
        subject_key=parts.get("subject_key"),
        key_algorithm=terms.key_algorithm,
        key_id=terms.key_id,
        scopes=terms.scopes,
        resource=terms.resource,
        send_resource=terms.send_resource,
        audience=terms.audience,
        client_metadata=terms.client_metadata,
        dynamic_registration=terms.dynamic_registration,
    )


def gateway_auth_faults(
    path: Path, auth: GatewayAuth, *, transport: str, has_credential: bool
) -> Iterator[Fault]:
    """Return what is wrong between the parts of `auth`, and between it and the gateway."""
    if transport == "builtin":
        yield Fault(path=path, problem="a built-in gateway has nobody to prove itself to")

    yield from _header_faults((*path, "headers"), auth, has_credential=has_credential)

    if auth.type == HEADERS:
        if not auth.headers:
            yield Fault(path=(*path, "headers"), problem="is missing", expected="some header")

        return

    if has_credential and auth.type != AUTHORIZATION_CODE:
        problem = f"stands beside a credential, which is sent where the token of {auth.type} goes"
        yield Fault(path=(*path, "type"), problem=problem, expected="one of both")

    yield from _client_faults(path, auth)

    if auth.type == TOKEN_EXCHANGE and auth.subject_key is None:
        yield Fault(
            path=(*path, "subject_key"),
            problem="is missing",
            expected="a private key that signs who the caller is",
        )

    if auth.type == AUTHORIZATION_CODE and (auth.token_url is None) != (
        auth.authorization_url is None
    ):
        missing = "token_url" if auth.token_url is None else "authorization_url"
        yield Fault(
            path=(*path, missing), problem="is missing", expected="both addresses, or the issuer"
        )


def _header_faults(path: Path, auth: GatewayAuth, *, has_credential: bool) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    is_taken = has_credential or auth.type != HEADERS

    for name in auth.headers:
        first = seen.setdefault(name.lower(), name)

        if first != name:
            yield Fault(path=(*path, name), problem=f"is {first!r} in another spelling")

        if name.lower() == "authorization" and is_taken:
            problem = "is what the credential, or a token, is sent in"
            yield Fault(path=(*path, name), problem=problem, expected="another header")


def _client_faults(path: Path, auth: GatewayAuth) -> Iterator[Fault]:
    needed = {
        "client_secret_basic": ("client_secret", auth.client_secret),
        "client_secret_post": ("client_secret", auth.client_secret),
        "private_key_jwt": ("client_key", auth.client_key),
    }.get(auth.client_auth)

    if needed is not None and needed[1] is None:
        yield Fault(
            path=(*path, needed[0]), problem="is missing", expected=f"what {auth.client_auth} needs"
        )

    if auth.type == CLIENT_CREDENTIALS and auth.client_auth == "none":
        yield Fault(
            path=(*path, "client_auth"),
            problem="proves nothing",
            expected="client_secret or client_key",
        )

    is_of_people = auth.type == AUTHORIZATION_CODE
    made_known = is_of_people and (auth.client_metadata or auth.dynamic_registration)

    if auth.client_id is None and not made_known:
        expected = "the id the authorization server knows us by"
        yield Fault(path=(*path, "client_id"), problem="is missing", expected=expected)

    # An upstream names any server it likes: what only one of them may see goes to no other.
    is_public = auth.document is not None and is_of_people and auth.client_auth == "none"

    if auth.client_id is not None and not is_public and not auth.issuer and not auth.token_url:
        yield Fault(
            path=(*path, "issuer"),
            problem="is missing beside client_id",
            expected="the issuer (or token_url) that client_id belongs to",
        )
