"""The adapter of Anthropic, and of whatever speaks its form at an address of its own."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from spindle_llm.providers.anthropic_chat import AnthropicChat, beta_headers
from spindle_llm.providers.anthropic_count import AnthropicTokenCount
from spindle_llm.providers.anthropic_errors import anthropic_refusal
from spindle_llm.providers.anthropic_limits import shown_limits
from spindle_llm.providers.anthropic_models import listed_models
from spindle_llm.providers.base import Adapter
from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.providers.openai import common_headers
from spindle_llm.providers.urls import join_url

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from spindle_llm.providers.dialect import ChatDialect, TokenCountDialect
    from spindle_llm.providers.inquiry import Inquiry
    from spindle_spi.errors import GatewayError
    from spindle_spi.records import ModelSpec, ProviderSpec, PublishedRecord
    from spindle_spi.secret import Secret

DEFAULT_VERSION = "2023-06-01"
"""The version of the API that is asked for where the provider's record names none."""


class AnthropicAdapter(Adapter):
    """Anthropic's API.

    Options of a provider: `auth: bearer` sends the key as a bearer token instead of `x-api-key`;
    `anthropic_beta` (a name, or a list of them) asks for betas; `thinking: budget` asks for
    thoughts by a number of tokens, which is all that older models know.
    """

    provider_type: ClassVar[str] = "anthropic"
    title: ClassVar[str] = "Anthropic"
    default_base: ClassVar[str | None] = "https://api.anthropic.com"
    capabilities: ClassVar[ServiceCapabilities] = ServiceCapabilities()
    token_count_dialect: ClassVar[TokenCountDialect] = AnthropicTokenCount()

    def headers(self, spec: ProviderSpec, key: Secret | None) -> dict[str, str]:
        """Return the headers of every request."""
        headers = common_headers()
        headers["anthropic-version"] = spec.api_version or DEFAULT_VERSION
        headers.update(beta_headers(_betas(spec), ()))

        if key and spec.options.get("auth") == "bearer":
            headers["Authorization"] = f"Bearer {key.reveal()}"
        elif key:
            headers["x-api-key"] = key.reveal()

        return headers

    def chat(self, provider: ProviderSpec, model: ModelSpec, given: Container[str]) -> ChatDialect:
        """Return the dialect of its chats, as the provider's options have it."""
        del model, given
        return _chat(provider.options.get("thinking") == "budget", _betas(provider))

    def token_count(self, provider: ProviderSpec) -> TokenCountDialect | None:
        """Return the dialect in which tokens are counted."""
        del provider
        return self.token_count_dialect

    def refusal(
        self, status: int, headers: Mapping[str, str], body: bytes, key: Secret | None
    ) -> GatewayError:
        """Return what a client is told."""
        return anthropic_refusal(status, headers, body, key)

    def shown_headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return its rate limits under the names that OpenAI's clients read, too."""
        return shown_limits(headers)

    def health_url(self, base: str) -> str | None:
        """Return the shortest list of models."""
        return join_url(base, "/models?limit=1")

    async def models(self, inquiry: Inquiry) -> Sequence[PublishedRecord]:
        """Return the models of all pages."""
        return await listed_models(inquiry)


def _betas(spec: ProviderSpec) -> tuple[str, ...]:
    said = spec.options.get("anthropic_beta")
    names = said.split(",") if isinstance(said, str) else said
    return tuple(
        name.strip()
        for name in (names if isinstance(names, list) else ())
        if isinstance(name, str) and name.strip()
    )


@lru_cache(maxsize=256)
def _chat(budgeted: bool, betas: tuple[str, ...]) -> AnthropicChat:
    """Return the one dialect of these options: addresses are kept by dialect."""
    return AnthropicChat(budgeted=budgeted, betas=betas)
