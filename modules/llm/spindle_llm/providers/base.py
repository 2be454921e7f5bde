"""An adapter: one provider type, as the module needs to know it. Stateless, and without I/O.

It is the requirement's `LLMService`: who it is, what it can do, its models, chats, embeddings and
health. How each operation looks on the wire is a dialect's business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from spindle_llm.providers.capabilities import ServiceCapabilities

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from spindle_llm.providers.dialect import ChatDialect, EmbeddingsDialect, TokenCountDialect
    from spindle_llm.providers.inquiry import Inquiry, Reply
    from spindle_spi.errors import GatewayError
    from spindle_spi.records import ModelSpec, ProviderSpec, PublishedRecord
    from spindle_spi.secret import Secret
    from spindle_transport.exchange import Transport


class Condition(StrEnum):
    """How a provider answered a health probe."""

    OK = "ok"
    UNAUTHORIZED = "unauthorized"
    """It is there and does not accept the credential."""
    THROTTLED = "throttled"
    DOWN = "down"


class Adapter(ABC):
    """A provider type. Stateless; one instance serves every provider of its type."""

    provider_type: ClassVar[str]
    """What a provider's record calls it."""
    title: ClassVar[str]
    """Its name for people."""
    telemetry_name: ClassVar[str] = ""
    """Its `gen_ai.provider.name`; empty is `provider_type`."""
    is_local: ClassVar[bool] = False
    """It runs on machines of the operator's."""
    default_base: ClassVar[str | None] = None
    """Where it is when its record does not say."""
    concurrency: ClassVar[int | None] = None
    """Calls it takes at once; None leaves it to the connections."""
    capabilities: ClassVar[ServiceCapabilities] = ServiceCapabilities()

    @abstractmethod
    def headers(self, spec: ProviderSpec, key: Secret | None) -> dict[str, str]:
        """Return the headers of every request to a provider."""

    @abstractmethod
    def chat(self, provider: ProviderSpec, model: ModelSpec, given: Container[str]) -> ChatDialect:
        """Return the dialect a chat is asked in; `given` are the keys of the request."""

    def embeddings(self, provider: ProviderSpec) -> EmbeddingsDialect | None:
        """Return the dialect of embeddings; None when the provider makes none."""
        del provider
        return None

    def token_count(self, provider: ProviderSpec) -> TokenCountDialect | None:
        """Return the dialect in which tokens are counted; None when it has to be estimated."""
        del provider
        return None

    @abstractmethod
    def refusal(
        self, status: int, headers: Mapping[str, str], body: bytes, key: Secret | None
    ) -> GatewayError:
        """Return what a client is told of an answer that is no success."""

    def shown_headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return what of an answer's headers a client may see, beside what all providers share."""
        del headers
        return {}

    async def models(self, inquiry: Inquiry) -> Sequence[PublishedRecord]:
        """Return the models a provider lists, with all it says of them; none when it has no list.

        Raises:
            UpstreamError: It does not answer, or sends no list of models.
        """
        del inquiry
        return ()

    async def is_here(self, inquiry: Inquiry) -> bool:
        """Tell whether it is a server of this type that answers at an address nobody declared.

        Raises:
            UpstreamError: Nobody answers.
        """
        del inquiry
        return False

    def health_url(self, base: str) -> str | None:
        """Return the cheapest address that tells whether a provider is there; None when none."""
        del base
        return None

    def condition(self, reply: Reply) -> Condition:
        """Return what an answer from `health_url` says."""
        if 200 <= reply.status < 300:
            return Condition.OK

        if reply.status in (401, 403):
            return Condition.UNAUTHORIZED

        return Condition.THROTTLED if reply.status == 429 else Condition.DOWN

    def transport(self, spec: ProviderSpec) -> Transport | None:
        """Return a transport of the adapter's own; None for HTTP."""
        del spec
        return None

    def built_in_models(self, provider: str) -> Sequence[PublishedRecord]:
        """Return the models that exist without being declared or discovered."""
        del provider
        return ()
