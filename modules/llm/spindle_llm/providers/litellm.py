"""The adapter of the long tail: providers that LiteLLM, an optional extra, knows how to ask.

A model's upstream name is LiteLLM's own, `provider/model`. Nothing here imports the package; the
transport does when the first call comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.providers.ledger import Fate, Ledger
from spindle_llm.providers.litellm_transport import (
    CHAT_PASSED,
    CHATS,
    EMBEDDINGS,
    EMBEDDINGS_PASSED,
    SETTINGS,
    LitellmTransport,
)
from spindle_llm.providers.openai import OpenAiAdapter, common_headers
from spindle_llm.providers.openai_chat import OpenAiChat
from spindle_llm.providers.openai_embeddings import OpenAiEmbeddings
from spindle_llm.providers.parameters import CHAT_PARAMETERS
from spindle_llm.providers.refusal_words import Subject, told_in
from spindle_llm.providers.refusals import classified, retry_after
from spindle_llm.relay.wire_json import encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle_llm.members import Members
    from spindle_llm.providers.dialect import ChatDialect, EmbeddingsDialect
    from spindle_llm.providers.inquiry import Inquiry
    from spindle_spi.errors import GatewayError
    from spindle_spi.records import ProviderSpec, PublishedRecord
    from spindle_spi.secret import Secret
    from spindle_spi.types import JsonObject
    from spindle_transport.exchange import Transport

NOWHERE: Final = "https://litellm.invalid/v1"
"""Stands for the address that LiteLLM knows by itself."""

OPTIONS: Final = frozenset(
    {
        *("allowed_openai_params", "organization", "base_model", "region_name"),
        *("aws_region_name", "aws_profile_name", "aws_role_name", "aws_session_name"),
        *("vertex_project", "vertex_location", "watsonx_region_name", "project_id", "space_id"),
        "use_environment",
    }
)
"""Options of a provider that are heeded: where and for whom, never a secret.

`use_environment: true` lets LiteLLM look for credentials where no key is configured."""


class LitellmChat(OpenAiChat):
    """OpenAI's form, kept to what LiteLLM takes for a parameter of the model.

    What else a request may hold could be an order to LiteLLM itself, such as another address for
    the operator's key; so no bytes pass unread, and unknown members are left out and named.
    """

    def url(self, base: str, model: str) -> str:
        """Return the base as the operator wrote it, and after it the operation."""
        del model
        return base + CHATS

    def takes(self, members: Members, body: bytes) -> bool:
        """Return False: every request is looked at."""
        del members, body
        return False


class LitellmEmbeddings(OpenAiEmbeddings):
    """OpenAI's form, kept to the same."""

    def url(self, base: str, model: str) -> str:
        """Return the base as the operator wrote it, and after it the operation."""
        del model
        return base + EMBEDDINGS


class LitellmAdapter(OpenAiAdapter):
    """Whatever LiteLLM knows and the other adapters do not."""

    provider_type: ClassVar[str] = "litellm"
    title: ClassVar[str] = "LiteLLM"
    default_base: ClassVar[str | None] = NOWHERE
    capabilities: ClassVar[ServiceCapabilities] = ServiceCapabilities(embedding=True)
    chat_dialect: ClassVar[ChatDialect] = LitellmChat(
        Ledger(passed=CHAT_PASSED, dropped=CHAT_PARAMETERS - CHAT_PASSED, others=Fate.DROPPED)
    )
    embeddings_dialect: ClassVar[EmbeddingsDialect | None] = LitellmEmbeddings(
        Ledger(passed=EMBEDDINGS_PASSED, others=Fate.DROPPED)
    )

    def headers(self, spec: ProviderSpec, key: Secret | None) -> dict[str, str]:
        """Return where the transport finds key and settings; what is sent is LiteLLM's affair."""
        settings: JsonObject = {
            name: value for name, value in spec.options.items() if name in OPTIONS
        }

        if spec.api_version is not None:
            settings["api_version"] = spec.api_version

        headers = {**common_headers(), SETTINGS: encode(settings).decode()}

        if key:
            headers["Authorization"] = f"Bearer {key.reveal()}"

        return headers

    def transport(self, spec: ProviderSpec) -> Transport | None:
        """Return the transport that calls the package."""
        return LitellmTransport(spec, nowhere=NOWHERE)

    def refusal(
        self, status: int, headers: Mapping[str, str], body: bytes, key: Secret | None
    ) -> GatewayError:
        """Return what a client is told; some vendors call a spent quota a wrong request."""
        told = told_in(body)
        is_spent = status == 400 and told.subject is Subject.QUOTA
        return classified(402 if is_spent else status, told, retry_after(headers), key)

    def health_url(self, base: str) -> str | None:
        """Return None: there is nothing that all providers answer for free."""
        del base
        return None

    async def models(self, inquiry: Inquiry) -> Sequence[PublishedRecord]:
        """Return none: models are declared."""
        del inquiry
        return ()

    def shown_headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return none beside what all providers share."""
        del headers
        return {}
