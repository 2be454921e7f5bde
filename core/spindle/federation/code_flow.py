"""The authorization code flow by authlib: the one file that knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, cast

import anyio
import httpx2
from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]
from authlib.integrations.httpx_client import (  # type: ignore[import-untyped]
    AsyncOAuth2Client,
)

from spindle.federation.transport import SECONDS, FetchFailed, GuardedTransport

if TYPE_CHECKING:
    from types import TracebackType

    from spindle.config.auth import OidcSettings
    from spindle_spi.secret import Secret
    from spindle_spi.types import JsonObject


_NO_TOKENS = (ValueError, TypeError, AttributeError, RecursionError)
"""What authlib runs into where an answer is JSON and no object, or nested without end."""


class _Client(Protocol):
    """What is used of authlib, which says no types."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def create_authorization_url(
        self, url: str, *, state: str, nonce: str, code_verifier: str
    ) -> tuple[str, str]: ...

    async def fetch_token(
        self, url: str, *, grant_type: str, code: str, code_verifier: str
    ) -> JsonObject: ...


class CodeFlow:
    """Leads a person to the provider, and a code to tokens; with PKCE, always."""

    def __init__(
        self, settings: OidcSettings, secret: Secret | None, hosts: frozenset[str]
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._hosts = hosts

    async def lead(self, endpoint: str, *, state: str, nonce: str, verifier: str) -> str:
        """Return where the person's browser goes."""
        async with self._client() as client:
            url, _ = client.create_authorization_url(
                endpoint, state=state, nonce=nonce, code_verifier=verifier
            )

        return url

    async def exchange(self, endpoint: str, code: str, verifier: str) -> JsonObject:
        """Return the provider's answer to a code.

        Raises:
            FetchFailed: It gave no tokens.
        """
        try:
            with anyio.fail_after(SECONDS):
                async with self._client() as client:
                    found = await client.fetch_token(
                        endpoint,
                        grant_type="authorization_code",
                        code=code,
                        code_verifier=verifier,
                    )
                    found = dict(found)
        except TimeoutError as exc:
            raise FetchFailed("no answer in time") from exc
        except OAuthError as exc:
            # Its description is the provider's text, and none of ours to show.
            raise FetchFailed("the provider refused the code") from exc
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, *_NO_TOKENS) as exc:
            raise FetchFailed(type(exc).__name__) from exc

        return found

    def _client(self) -> _Client:
        settings = self._settings
        client = AsyncOAuth2Client(
            client_id=settings.client_id,
            client_secret=None if self._secret is None else self._secret.reveal(),
            scope=" ".join(settings.scopes),
            redirect_uri=settings.redirect_url,
            code_challenge_method="S256",
            transport=GuardedTransport(self._hosts),
            trust_env=False,
            timeout=SECONDS,
        )
        return cast("_Client", client)
