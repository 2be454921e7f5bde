"""The adapter of OpenAI, and of whatever speaks its form and is nothing in particular."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from spindle_llm.providers.base import Adapter
from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.providers.detection import Metadata, described
from spindle_llm.providers.inquiry import require_success
from spindle_llm.providers.ledger import Ledger
from spindle_llm.providers.openai_chat import OpenAiChat
from spindle_llm.providers.openai_embeddings import OpenAiEmbeddings
from spindle_llm.providers.parameters import CHAT_PARAMETERS
from spindle_llm.providers.refusals import refusal_of
from spindle_llm.providers.urls import join_url
from spindle_llm.relay.wire_json import UNREADABLE
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from spindle_llm.providers.dialect import ChatDialect, EmbeddingsDialect
    from spindle_llm.providers.inquiry import Inquiry
    from spindle_spi.errors import GatewayError
    from spindle_spi.records import ModelSpec, ProviderSpec, PublishedRecord
    from spindle_spi.secret import Secret

MAX_LISTED_MODELS = 2000


class OpenAiAdapter(Adapter):
    """OpenAI's API."""

    provider_type: ClassVar[str] = "openai"
    title: ClassVar[str] = "OpenAI"
    default_base: ClassVar[str | None] = "https://api.openai.com/v1"
    capabilities: ClassVar[ServiceCapabilities] = ServiceCapabilities(embedding=True)
    chat_dialect: ClassVar[ChatDialect] = OpenAiChat(
        Ledger(passed=CHAT_PARAMETERS, dropped=frozenset({"top_k"})), strict=True
    )
    embeddings_dialect: ClassVar[EmbeddingsDialect | None] = OpenAiEmbeddings()

    def chat(self, provider: ProviderSpec, model: ModelSpec, given: Container[str]) -> ChatDialect:
        """Return the one dialect of its chats."""
        del provider, model, given
        return self.chat_dialect

    def embeddings(self, provider: ProviderSpec) -> EmbeddingsDialect | None:
        """Return the dialect of its embeddings."""
        del provider
        return self.embeddings_dialect

    def headers(self, spec: ProviderSpec, key: Secret | None) -> dict[str, str]:
        """Return the headers of every request; packing would hold text back, so none is asked."""
        headers = common_headers()

        for option, name in (
            ("organization", "OpenAI-Organization"),
            ("project", "OpenAI-Project"),
        ):
            value = spec.options.get(option)

            if isinstance(value, str):
                headers[name] = value

        if key:
            headers["Authorization"] = f"Bearer {key.reveal()}"

        return headers

    def refusal(
        self, status: int, headers: Mapping[str, str], body: bytes, key: Secret | None
    ) -> GatewayError:
        """Return what a client is told."""
        return refusal_of(status, headers, body, key)

    def health_url(self, base: str) -> str | None:
        """Return the list of models: there is nothing cheaper."""
        return join_url(base, "/models")

    async def models(self, inquiry: Inquiry) -> Sequence[PublishedRecord]:
        """Return the models of `{"data": [{"id", "created"}]}`."""
        reply = await inquiry.get(join_url(inquiry.base, "/models"))
        require_success(reply, "its list of models")
        return listed_models(inquiry.provider, reply.body, self.provider_type)


class OpenAiCompatibleAdapter(OpenAiAdapter):
    """Whatever speaks OpenAI's form at an address of its own."""

    provider_type: ClassVar[str] = "openai_compatible"
    title: ClassVar[str] = "OpenAI-compatible"
    default_base: ClassVar[str | None] = None
    chat_dialect: ClassVar[ChatDialect] = OpenAiChat(Ledger(passed=CHAT_PARAMETERS))


class _Listed(msgspec.Struct):
    id: str
    created: int | None = None


class _Listing(msgspec.Struct):
    data: list[_Listed]


def listed_models(
    provider: str, data: bytes, provider_type: str = "openai"
) -> Sequence[PublishedRecord]:
    """Return the records of a list of models in OpenAI's form: what they can do, by their names.

    Raises:
        UpstreamError: It is no list of models.
    """
    try:
        listing = msgspec.json.decode(data, type=_Listing)
    except UNREADABLE as exc:
        raise UpstreamError("The upstream's list of models cannot be read.") from exc

    return [
        described(provider, provider_type, entry.id, Metadata(created=entry.created))
        for entry in listing.data[:MAX_LISTED_MODELS]
        if entry.id
    ]


def common_headers() -> dict[str, str]:
    """Return the headers of every JSON request to any provider."""
    return {
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "spindle",
    }
