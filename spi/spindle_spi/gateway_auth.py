"""How a gateway proves itself to its upstream, beside a plain bearer credential."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from spindle_spi.secret import SecretRef

HEADERS = "headers"
CLIENT_CREDENTIALS = "client_credentials"
TOKEN_EXCHANGE = "token_exchange"
AUTHORIZATION_CODE = "authorization_code"

_DOCUMENT = re.compile(r"https://[^\s/?#@]+/[^\s?#]+")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OWNED = frozenset(
    {
        *("accept", "accept-encoding", "connection", "content-encoding", "content-length"),
        *("content-type", "expect", "host", "keep-alive", "last-event-id", "te", "trailer"),
        *("traceparent", "tracestate", "transfer-encoding", "upgrade"),
    }
)
_OWNED_PREFIXES = ("mcp-", "proxy-")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAuth:
    """What a gateway shows its upstream. Never a caller's own token, never a value: references."""

    type: str = HEADERS
    """headers, client_credentials, token_exchange or authorization_code."""
    headers: dict[str, SecretRef] = field(default_factory=dict[str, SecretRef])
    """Sent with every request, whatever the type."""
    issuer: str | None = None
    """The authorization server; None finds it by the upstream's protected-resource metadata."""
    token_url: str | None = None
    """Instead of what the metadata of the issuer says, as the next one."""
    authorization_url: str | None = None
    client_id: str | None = None
    """What the issuer knows us by; without one, the address of a client metadata document."""
    client_auth: str = "client_secret_basic"
    """client_secret_basic, client_secret_post, private_key_jwt or none."""
    client_secret: SecretRef | None = None
    client_key: SecretRef | None = None
    """Private key of private_key_jwt, as PEM or JWK."""
    subject_key: SecretRef | None = None
    """Private key that signs who the caller is, for token_exchange."""
    key_algorithm: str = "ES256"
    """Of both keys: ES256, RS256 or EdDSA."""
    key_id: str | None = None
    scopes: tuple[str, ...] = ()
    resource: str | None = None
    """RFC 8707; None is the upstream's URL."""
    send_resource: bool = True
    audience: str | None = None
    client_metadata: bool = False
    """Be known by the URL of a client metadata document where the server takes that."""
    dynamic_registration: bool = False
    """Register as a client where nothing else makes us known."""

    @property
    def document(self) -> str | None:
        """Return the address of our document as a client, where it is not served by the host."""
        is_bound = self.issuer is not None or self.token_url is not None
        is_address = self.client_id is not None and _DOCUMENT.fullmatch(self.client_id)
        return self.client_id if is_address and not is_bound else None

    @property
    def is_personal(self) -> bool:
        """Whether what is shown depends on who calls."""
        return self.type in (TOKEN_EXCHANGE, AUTHORIZATION_CODE)

    def secrets(self) -> Iterator[SecretRef]:
        """Return every secret it refers to."""
        yield from self.headers.values()

        for ref in (self.client_secret, self.client_key, self.subject_key):
            if ref is not None:
                yield ref

    def urls(self) -> Iterator[str]:
        """Return every address somebody wrote into it to be asked."""
        for url in (self.issuer, self.token_url, self.authorization_url):
            if url is not None:
                yield url


def is_settable_header(name: str) -> bool:
    """Tell whether a record may set a header: the connection's and the protocol's are not its."""
    lower = name.lower()
    is_owned = lower in _OWNED or lower.startswith(_OWNED_PREFIXES)
    return _TOKEN.fullmatch(name) is not None and not is_owned
