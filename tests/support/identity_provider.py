"""An OpenID provider on a loopback port: discovery, authorize, token, userinfo, JWKS with rotation.

Its knobs make it do what a broken or hostile one would.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
import warnings
from base64 import urlsafe_b64encode
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from tests.support.http_server import Answered, Asked, serve_http

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

CLIENT_ID = "spindle"
CLIENT_SECRET = "client-secret-of-the-tests"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key with its id and algorithm."""

    kid: str
    algorithm: str
    key: RSAKey | ECKey | OKPKey

    def pem(self, *, private: bool = False) -> str:
        return self.key.as_pem(private=private).decode()

    def published(self) -> dict[str, Any]:
        found: dict[str, Any] = self.key.as_dict(private=False)
        return {**found, "kid": self.kid, "use": "sig", "alg": self.algorithm}


def new_key(kid: str, algorithm: str = "ES256") -> SigningKey:
    match algorithm:
        case "RS256":
            key: RSAKey | ECKey | OKPKey = RSAKey.generate_key(2048)
        case "EdDSA":
            key = OKPKey.generate_key("Ed25519")
        case _:
            key = ECKey.generate_key("P-256")

    return SigningKey(kid, algorithm, key)


def sign(
    claims: Mapping[str, Any],
    key: Key | bytes,
    algorithm: str,
    header: Mapping[str, Any] | None = None,
) -> str:
    """Return a compact JWT."""
    used = OctKey.import_key(key) if isinstance(key, bytes) else key

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return jwt.encode(
            {"alg": algorithm, **(header or {})}, dict(claims), used, algorithms=[algorithm]
        )


@dataclass(slots=True)
class IdentityProvider:
    """The provider; set what it shall do wrong."""

    url: str = ""
    keys: list[SigningKey] = field(default_factory=lambda: [new_key("one")])
    person: dict[str, Any] = field(
        default_factory=lambda: {
            "sub": "u-1",
            "email": "ann@example.com",
            "email_verified": True,
            "name": "Ann",
            "groups": ["eng"],
        }
    )
    userinfo: dict[str, Any] | None = None
    """What the userinfo endpoint says; None is no such endpoint."""
    id_claims: dict[str, Any] = field(default_factory=dict[str, Any])
    """Over the claims of the identity token; None takes one out."""
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    """Over the metadata."""
    raw: dict[str, Answered] = field(default_factory=dict[str, Answered])
    """Instead of an endpoint's answer, by path."""
    asked: list[Asked] = field(default_factory=list[Asked])
    _codes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def rotate(self, kid: str, algorithm: str = "ES256") -> SigningKey:
        """Sign with a new key from now on, and publish it alone."""
        self.keys = [new_key(kid, algorithm)]
        return self.keys[0]

    def token(self, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Return a signed token for the person, valid for five minutes."""
        now = int(time.time())
        said: dict[str, Any] = {
            "iss": self.url,
            "aud": "spindle-api",
            "iat": now,
            "exp": now + 300,
            **self.person,
            **claims,
        }
        key = self.keys[0]
        wanted = {name: value for name, value in said.items() if value is not None}
        named = {"kid": key.kid, **(header or {})}
        shown = {name: value for name, value in named.items() if value is not None}
        return sign(wanted, key.key, key.algorithm, shown)

    def count(self, path: str) -> int:
        """Return how often a path was asked for."""
        return sum(urlsplit(asked.target).path == path for asked in self.asked)

    def approve(self, url: str, **changes: str) -> dict[str, str]:
        """Let the person in at the authorize endpoint; returns the redirect's query."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self.url, **changes}

    async def answer(self, request: Asked) -> Answered:
        self.asked.append(request)
        path = urlsplit(request.target).path

        if path in self.raw:
            return self.raw[path]

        match path:
            case "/.well-known/openid-configuration":
                return _json(self._metadata())
            case "/jwks":
                return _json({"keys": [key.published() for key in self.keys]})
            case "/token":
                return self._token(request)
            case "/userinfo" if self.userinfo is not None:
                return _json(self.userinfo)
            case _:
                return Answered(status=404)

    def _metadata(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "authorization_response_iss_parameter_supported": True,
        }

        if self.userinfo is not None:
            said["userinfo_endpoint"] = f"{self.url}/userinfo"

        merged = {**said, **self.metadata}
        return {name: value for name, value in merged.items() if value is not None}

    def _token(self, request: Asked) -> Answered:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        begun = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = urlsafe_b64encode(digest).decode().rstrip("=")
        basic = urlsafe_b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()

        if (
            begun is None
            or begun["code_challenge"] != challenge
            or begun["redirect_uri"] != form.get("redirect_uri")
            or request.headers.get("authorization") != f"Basic {basic}"
        ):
            return _json({"error": "invalid_grant", "error_description": "SECRET-OF-IDP"}, 400)

        claims: dict[str, Any] = {"aud": CLIENT_ID, "nonce": begun["nonce"], **self.id_claims}
        answer = {
            "access_token": "opaque",
            "token_type": "Bearer",
            "id_token": self.token(**claims),
        }
        return _json(answer)


@asynccontextmanager
async def identity_provider() -> AsyncGenerator[IdentityProvider]:
    """Serve one on a loopback port."""
    provider = IdentityProvider()

    async with serve_http(provider.answer) as url:
        provider.url = url
        yield provider


def query(parameters: Mapping[str, str]) -> str:
    """Return a query string."""
    return urlencode(parameters)


def _json(value: Mapping[str, Any], status: int = 200) -> Answered:
    return Answered(status=status, body=json.dumps(value).encode())
