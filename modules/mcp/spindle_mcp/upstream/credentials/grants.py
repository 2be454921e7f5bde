"""What a person let a gateway do for them, as it is kept: tokens, and whose they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from spindle_mcp.text import decode, encode
from spindle_mcp.upstream.credentials.client import Client
from spindle_mcp.upstream.credentials.tokens import token_of
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from spindle_mcp.upstream.credentials.discovery import Server
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import Json, JsonObject

_GRANT = "grant:"
_PENDING = "pending:"


def grant_name(record: CatalogRecord) -> str:
    """Return what the grant of a gateway is kept under: a record made anew has none."""
    return f"{_GRANT}{record.id}"


def pending_name(record: CatalogRecord) -> str:
    """Return what an authorisation that was begun is kept under: one at a time."""
    return f"{_PENDING}{record.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Tokens of one person for one upstream."""

    url: str
    """The upstream they were given for: they go to no other."""
    token_url: str
    access_token: str
    fresh_until: float
    """Seconds since the epoch."""
    issuer: str | None = None
    asked: str = ""
    """The scopes that were asked for."""
    needed: str = ""
    """Scopes that the upstream wanted since, beside those."""
    refresh_token: str | None = None
    client_id: str | None = None
    """Of a client that was registered, or known by its metadata; None is the configured one."""
    client_method: str = "none"
    client_secret: str | None = None

    def sealed(self) -> Secret:
        """Return it as it is kept."""
        return Secret(encode(asdict(self)).decode())

    def is_of(self, url: str, server: Server) -> bool:
        """Tell whether it is for an upstream and from its server, as they are now."""
        return (self.url, self.issuer, self.token_url) == (url, server.issuer, server.token_url)

    def renewed(self, answer: JsonObject, now: float) -> Grant:
        """Return it with the tokens of an answer; a refresh token that is not replaced stays.

        Raises:
            ServerFailed: There is no token in it.
        """
        token = token_of(answer, now)
        refresh = answer.get("refresh_token")
        return replace(
            self,
            access_token=token.secret.reveal(),
            fresh_until=token.fresh_until,
            refresh_token=refresh if isinstance(refresh, str) and refresh else self.refresh_token,
        )

    def client(self, configured: Client) -> Client:
        """Return whom the server gave it to."""
        return _client(configured, self.client_id, self.client_method, self.client_secret)


def read_grant(secret: Secret) -> Grant | None:
    """Return what was kept; None where it is none, written by a release that knew another form."""
    data = _object(secret)

    try:
        return Grant(**data)  # type: ignore[arg-type] # written by `sealed`
    except TypeError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """An authorisation that a person has begun."""

    state: str
    """SHA-256 of the state, in hex."""
    verifier: str
    url: str
    token_url: str
    redirect_uri: str
    expires_at: float
    names_issuer: bool
    issuer: str | None = None
    resource: str | None = None
    """What its tokens will be said to be for."""
    asked: str = ""
    """The scopes that are asked for."""
    client_id: str | None = None
    client_method: str = "none"
    client_secret: str | None = None

    def sealed(self) -> Secret:
        """Return it as it is kept."""
        return Secret(encode(asdict(self)).decode())

    def client(self, configured: Client) -> Client:
        """Return whom the server will give its tokens to."""
        return _client(configured, self.client_id, self.client_method, self.client_secret)

    def grant(self, answer: JsonObject, now: float) -> Grant:
        """Return what the server answered to its code.

        Raises:
            ServerFailed: There is no token in it.
        """
        empty = Grant(
            url=self.url,
            token_url=self.token_url,
            access_token="",
            fresh_until=0.0,
            issuer=self.issuer,
            asked=self.asked,
            client_id=self.client_id,
            client_method=self.client_method,
            client_secret=self.client_secret,
        )
        return empty.renewed(answer, now)


def read_pending(secret: Secret) -> Pending | None:
    """Return what was kept; None where it is none."""
    data = _object(secret)

    try:
        return Pending(**data)  # type: ignore[arg-type] # written by `sealed`
    except TypeError:
        return None


def _client(configured: Client, client_id: str | None, method: str, secret: str | None) -> Client:
    if client_id is None:
        return configured

    return Client(id=client_id, method=method, secret=None if secret is None else Secret(secret))


def _object(secret: Secret) -> dict[str, Json]:
    try:
        value = decode(secret.reveal().encode())
    except ValueError:
        return {}

    return value if isinstance(value, dict) else {}
