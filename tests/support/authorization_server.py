"""An OAuth 2.1 authorization server on a loopback port, strict in what it takes.

Metadata, authorize with PKCE, token endpoint with the grants and client methods upstreams use,
registration, revocation. Its knobs make it do what a broken or hostile one would.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from base64 import b64decode, urlsafe_b64encode
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from tests.support.http_server import Answered, Asked, serve_http

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
SECRET_WORDS = "SECRET-WORDS-OF-THE-SERVER"


@dataclass(slots=True)
class KnownClient:
    """A client as the server knows it."""

    method: str = "client_secret_basic"
    secret: str = "client-secret-of-the-tests"
    key: ECKey | None = None
    redirects: tuple[str, ...] = ()


@dataclass(slots=True)
class Grant:
    """What a token was given for."""

    client: str
    grant_type: str
    subject: str | None = None
    resource: str | None = None
    scope: str = ""


class _Refused(Exception):
    """An OAuth error."""


@dataclass(slots=True)
class AuthorizationServer:
    """The server; set what it shall do wrong."""

    url: str = ""
    clients: dict[str, KnownClient] = field(default_factory=dict[str, KnownClient])
    subject_key: ECKey | None = None
    """Whose signature makes a subject token hold."""
    lifetime: int | None = 300
    """Seconds; None says none."""
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    """Over the metadata; None takes one out."""
    place: str = "/.well-known/oauth-authorization-server"
    """Where its metadata are."""
    raw: dict[str, Answered] = field(default_factory=dict[str, Answered])
    """Instead of an endpoint's answer, by path."""
    asked: list[Asked] = field(default_factory=list[Asked])
    tokens: dict[str, Grant] = field(default_factory=dict[str, Grant])
    """Access tokens that hold."""
    refreshers: dict[str, Grant] = field(default_factory=dict[str, Grant])
    assertions: set[str] = field(default_factory=set[str])
    """Ids of assertions that were shown; none is taken twice."""
    _codes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    claims: dict[str, Any] | None = None
    """Makes its access tokens JWTs, with these claims over the usual ones."""
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))

    @property
    def issuer(self) -> str:
        """Who it says it is."""
        return str(self.metadata.get("issuer", self.url))

    def paths(self) -> list[str]:
        """Return what was asked for, in order."""
        return [urlsplit(one.target).path for one in self.asked]

    def count(self, path: str) -> int:
        """Return how often a path was asked for."""
        return sum(urlsplit(asked.target).path == path for asked in self.asked)

    def forms(self) -> list[dict[str, str]]:
        """Return what the token endpoint was sent."""
        return [_form(one) for one in self.asked if urlsplit(one.target).path == "/token"]

    def approve(self, url: str, subject: str, **changes: str) -> dict[str, str]:
        """Let a person say yes at the authorize endpoint; returns the redirect's query."""
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.url}/authorize"
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        known = self.clients.get(asked["client_id"])
        assert known is None or asked["redirect_uri"] in known.redirects
        code = secrets.token_urlsafe(16)
        self._codes[code] = {**asked, "subject": subject}
        return {"code": code, "state": asked["state"], "iss": self.issuer, **changes}

    def jwt(self, grant: Grant) -> str:
        """Return an access token that says what it is."""
        said = {
            "iss": self.url,
            "sub": grant.subject,
            "email": grant.subject,
            "aud": grant.resource,
            "scope": grant.scope,
            "exp": int(time.time()) + 300,
            "jti": secrets.token_hex(8),
            **(self.claims or {}),
        }
        header = {"alg": "ES256", "kid": "one"}
        return jwt.encode(header, said, self.key, algorithms=["ES256"])

    def end_all(self) -> None:
        """Let no access token hold any more."""
        self.tokens.clear()

    async def answer(self, request: Asked) -> Answered:
        self.asked.append(request)
        path = urlsplit(request.target).path

        if path in self.raw:
            return self.raw[path]

        match path:
            case self.place:
                return _json(self._metadata())
            case "/jwks":
                return _json({"keys": [{**self.key.as_dict(private=False), "kid": "one"}]})
            case "/token":
                return self._token(request)
            case "/register":
                return self._register(request)
            case "/revoke":
                self.refreshers.pop(_form(request).get("token", ""), None)
                return Answered(status=200)
            case _:
                return Answered(status=404)

    def _metadata(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "registration_endpoint": f"{self.url}/register",
            "revocation_endpoint": f"{self.url}/revoke",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        merged = {**said, **self.metadata}
        return {name: value for name, value in merged.items() if value is not None}

    def _register(self, request: Asked) -> Answered:
        wanted = json.loads(request.body)
        client = f"registered-{len(self.clients)}"
        method = wanted["token_endpoint_auth_method"]
        known = KnownClient(method, redirects=tuple(wanted["redirect_uris"]))
        self.clients[client] = known
        secret = {} if method == "none" else {"client_secret": known.secret}
        return _json({**wanted, "client_id": client, **secret}, 201)

    def _token(self, request: Asked) -> Answered:
        form = _form(request)

        try:
            client = self._client(request, form)
            grant = self._grant(client, form)
        except _Refused as refused:
            said = {"error": str(refused), "error_description": SECRET_WORDS}
            return _json(said, 401 if str(refused) == "invalid_client" else 400)

        return _json(self._issued(grant))

    def _issued(self, grant: Grant) -> dict[str, Any]:
        access = secrets.token_urlsafe(24) if self.claims is None else self.jwt(grant)
        self.tokens[access] = grant
        answer: dict[str, Any] = {"access_token": access, "token_type": "Bearer"}

        if self.lifetime is not None:
            answer["expires_in"] = self.lifetime

        if grant.grant_type in ("authorization_code", "refresh_token"):
            refresh = secrets.token_urlsafe(24)
            self.refreshers[refresh] = grant
            answer["refresh_token"] = refresh

        return answer

    def _grant(self, client: str, form: dict[str, str]) -> Grant:
        kind = form.get("grant_type", "")
        grant = Grant(client, kind, resource=form.get("resource"), scope=form.get("scope", ""))

        match kind:
            case "client_credentials":
                pass
            case "authorization_code":
                begun = self._redeemed(client, form)
                grant.subject, grant.scope = begun["subject"], begun.get("scope", "")
            case "refresh_token":
                # Each is good for one time: whoever shows it again has stolen it, or lost a race.
                before = self.refreshers.pop(form.get("refresh_token", ""), None)

                if before is None or before.client != client:
                    raise _Refused("invalid_grant")

                grant.subject, grant.scope = before.subject, before.scope
            case _ if kind == EXCHANGE:
                grant.subject = self._exchanged(form)
            case _:
                raise _Refused("unsupported_grant_type")

        return grant

    def _redeemed(self, client: str, form: dict[str, str]) -> dict[str, str]:
        begun = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = urlsafe_b64encode(digest).decode().rstrip("=")

        if (
            begun is None
            or begun["client_id"] != client
            or begun["code_challenge"] != challenge
            or begun["redirect_uri"] != form.get("redirect_uri")
            or begun.get("resource") != form.get("resource")
        ):
            raise _Refused("invalid_grant")

        return begun

    def _exchanged(self, form: dict[str, str]) -> str:
        if form.get("subject_token_type") != JWT_TYPE or self.subject_key is None:
            raise _Refused("invalid_request")

        claims = self._verified(form.get("subject_token", ""), self.subject_key)
        return str(claims["sub"])

    def _client(self, request: Asked, form: dict[str, str]) -> str:
        basic = request.headers.get("authorization", "")
        client, shown, method = form.get("client_id", ""), form.get("client_secret"), "none"

        if basic.startswith("Basic "):
            pair = b64decode(basic.removeprefix("Basic ")).decode()
            name, _, password = pair.partition(":")
            client, shown, method = unquote(name), unquote(password), "client_secret_basic"
        elif "client_assertion" in form:
            method = "private_key_jwt"
        elif shown is not None:
            method = "client_secret_post"

        known = self.clients.get(client)

        if known is None and client.startswith("http") and method == "none":
            return client

        if known is None or known.method != method:
            raise _Refused("invalid_client")

        if method == "private_key_jwt":
            self._check_assertion(client, known, form)
        elif method != "none" and shown != known.secret:
            raise _Refused("invalid_client")

        return client

    def _check_assertion(self, client: str, known: KnownClient, form: dict[str, str]) -> None:
        if form.get("client_assertion_type") != JWT_BEARER or known.key is None:
            raise _Refused("invalid_client")

        claims = self._verified(form["client_assertion"], known.key)

        if (claims["iss"], claims["sub"]) != (client, client) or claims["jti"] in self.assertions:
            raise _Refused("invalid_client")

        self.assertions.add(claims["jti"])

    def _verified(self, text: str, key: ECKey) -> dict[str, Any]:
        try:
            claims = jwt.decode(text, key, algorithms=["ES256"]).claims
        except (JoseError, ValueError) as exc:
            raise _Refused("invalid_client") from exc

        if claims["aud"] not in (self.url, f"{self.url}/token") or claims["exp"] <= time.time():
            raise _Refused("invalid_client")

        return dict(claims)


@asynccontextmanager
async def authorization_server() -> AsyncGenerator[AuthorizationServer]:
    """Serve one on a loopback port."""
    server = AuthorizationServer()

    async with serve_http(server.answer) as url:
        server.url = url
        yield server


def redirected(url: str, query: dict[str, str]) -> str:
    """Return where a browser is sent back to."""
    return f"{url}?{urlencode(query)}"


def _form(request: Asked) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


def _json(value: dict[str, Any], status: int = 200) -> Answered:
    return Answered(status=status, body=json.dumps(value).encode())
