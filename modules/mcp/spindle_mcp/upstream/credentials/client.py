"""The token endpoint by authlib: the one file that knows it. Assertions are signed by joserfc."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol, Self, cast
from urllib.parse import urlencode

import anyio
import httpx2
from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]
from authlib.integrations.httpx_client import (  # type: ignore[import-untyped]
    AsyncOAuth2Client,
)
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from spindle_mcp.upstream.credentials.faults import ServerFailed, refusal
from spindle_mcp.upstream.credentials.transport import SECONDS, Judge, JudgedTransport
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from types import TracebackType

    from spindle_spi.types import JsonObject

_ASSERTION_SECONDS: Final = 60
_JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SECRET_METHODS: Final = ("client_secret_basic", "client_secret_post")
_NO_TOKENS = (ValueError, TypeError, AttributeError, RecursionError)
"""What authlib runs into where an answer is JSON and no object, or nested without end."""
_KEYS: Final[dict[str, type[ECKey] | type[RSAKey] | type[OKPKey]]] = {
    "ES256": ECKey,
    "RS256": RSAKey,
    "EdDSA": OKPKey,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key as a secret holds it: PEM or JWK."""

    secret: Secret
    algorithm: str
    key_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What an authorization server knows us by."""

    id: str
    method: str = "none"
    """client_secret_basic, client_secret_post, private_key_jwt or none."""
    secret: Secret | None = None
    key: SigningKey | None = None
    audience: str | None = None
    """Whom its assertions are for: the server's issuer; None is the endpoint they are sent to."""

    def as_taken(self, methods: tuple[str, ...]) -> Client:
        """Return it with its secret sent the other way, where a server takes only that."""
        others = [one for one in _SECRET_METHODS if one in methods]
        is_secret = self.method in _SECRET_METHODS
        is_refused = is_secret and others and self.method not in methods
        return replace(self, method=others[0]) if is_refused else self


class _Session(Protocol):
    """What is used of authlib, which says no types."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def create_authorization_url(
        self, url: str, *, code_verifier: str, **parameters: str
    ) -> tuple[str, str]: ...

    async def revoke_token(self, url: str, *, token: str, body: str) -> object: ...

    async def fetch_token(self, url: str, *, grant_type: str, **parameters: str) -> JsonObject: ...


async def request_token(
    judge: Judge, url: str, client: Client, grant_type: str, parameters: dict[str, str]
) -> JsonObject:
    """Return what a token endpoint answers.

    Raises:
        ServerFailed: It gave no token.
    """
    if client.method == "private_key_jwt":
        parameters = {**parameters, **_assertion(client, url)}

    try:
        with anyio.fail_after(SECONDS):
            async with _session(judge, client) as session:
                found = await session.fetch_token(url, grant_type=grant_type, **parameters)
                return dict(found)
    except TimeoutError as exc:
        raise ServerFailed("it did not answer in time") from exc
    except OAuthError as exc:
        # Its description is the server's text, and none of ours to show.
        raise refusal(exc.error) from exc
    except httpx2.HTTPStatusError as exc:
        raise ServerFailed(f"it answered with the status {exc.response.status_code}") from exc
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as exc:
        raise ServerFailed("it cannot be reached") from exc
    except _NO_TOKENS as exc:
        raise ServerFailed("its answer is no token") from exc


async def revoke_token(judge: Judge, url: str, client: Client, token: str) -> None:
    """Ask a server to end a token (RFC 7009).

    Raises:
        ServerFailed: It did not answer.
    """
    parameters = _assertion(client, url) if client.method == "private_key_jwt" else {}

    try:
        with anyio.fail_after(SECONDS):
            async with _session(judge, client) as session:
                await session.revoke_token(url, token=token, body=urlencode(parameters))
    except (TimeoutError, OAuthError, httpx2.HTTPError, httpx2.InvalidURL, *_NO_TOKENS) as exc:
        raise ServerFailed("it did not end the token") from exc


async def authorization_url(
    judge: Judge, url: str, client: Client, verifier: str, parameters: dict[str, str]
) -> str:
    """Return where a person's browser goes, with the challenge (S256) of a verifier."""
    async with _session(judge, client) as session:
        made, _ = session.create_authorization_url(url, code_verifier=verifier, **parameters)

    return made


def signed(key: SigningKey, claims: JsonObject, *, kind: str = "JWT") -> str:
    """Return a JWT of a minute.

    Raises:
        ServerFailed: The key is none of its algorithm.
    """
    now = int(time.time())
    header: JsonObject = {"alg": key.algorithm, "typ": kind}

    if key.key_id is not None:
        header["kid"] = key.key_id

    stamped = {"jti": secrets.token_urlsafe(18), "iat": now, "exp": now + _ASSERTION_SECONDS}

    try:
        private = _KEYS[key.algorithm].import_key(key.secret.reveal())
        return jwt.encode(header, {**claims, **stamped}, private, algorithms=[key.algorithm])
    except (JoseError, ValueError, TypeError) as exc:
        # What went wrong may quote the key.
        raise ServerFailed(f"our key is no private key for {key.algorithm}") from exc.__cause__


def _assertion(client: Client, url: str) -> dict[str, str]:
    if client.key is None:
        raise ServerFailed("we have no key to prove ourselves with")

    claims: JsonObject = {"iss": client.id, "sub": client.id, "aud": client.audience or url}
    return {"client_assertion_type": _JWT_BEARER, "client_assertion": signed(client.key, claims)}


def _session(judge: Judge, client: Client) -> _Session:
    # A signed assertion stands in the parameters, beside the id alone.
    method = "none" if client.method == "private_key_jwt" else client.method
    session = AsyncOAuth2Client(
        client_id=client.id,
        client_secret=None if client.secret is None else client.secret.reveal(),
        token_endpoint_auth_method=method,
        code_challenge_method="S256",
        transport=JudgedTransport(judge),
        trust_env=False,
        timeout=SECONDS,
    )
    return cast("_Session", session)
