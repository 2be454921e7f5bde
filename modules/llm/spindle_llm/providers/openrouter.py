"""The adapter of OpenRouter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.providers.detection import Metadata, described
from spindle_llm.providers.ledger import Ledger
from spindle_llm.providers.local_models import entries_of
from spindle_llm.providers.openai import OpenAiAdapter
from spindle_llm.providers.openai_chat import OpenAiChat
from spindle_llm.providers.parameters import CHAT_PARAMETERS
from spindle_llm.providers.readings import names_in, object_in, text_in, whole_in
from spindle_llm.providers.refusal_words import told_in
from spindle_llm.providers.urls import join_url
from spindle_spi.errors import InvalidArgument, Origin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle_llm.providers.dialect import ChatDialect
    from spindle_llm.providers.inquiry import Inquiry
    from spindle_spi.errors import GatewayError
    from spindle_spi.records import ProviderSpec, PublishedRecord
    from spindle_spi.secret import Secret
    from spindle_spi.types import Json, JsonObject

_HEADERS = {"referer": "HTTP-Referer", "title": "X-Title"}
"""Options of a provider by which OpenRouter knows an application, and their headers."""
_PER_MILLION = 1_000_000


class OpenRouterAdapter(OpenAiAdapter):
    """OpenRouter. The options `referer` and `title` of a provider name the application to it."""

    provider_type: ClassVar[str] = "openrouter"
    title: ClassVar[str] = "OpenRouter"
    default_base: ClassVar[str | None] = "https://openrouter.ai/api/v1"
    capabilities: ClassVar[ServiceCapabilities] = ServiceCapabilities(embedding=True)
    chat_dialect: ClassVar[ChatDialect] = OpenAiChat(Ledger(passed=CHAT_PARAMETERS))

    def headers(self, spec: ProviderSpec, key: Secret | None) -> dict[str, str]:
        """Return the headers of every request."""
        headers = super().headers(spec, key)

        for option, name in _HEADERS.items():
            value = spec.options.get(option)

            if isinstance(value, str):
                headers[name] = value

        return headers

    def refusal(
        self, status: int, headers: Mapping[str, str], body: bytes, key: Secret | None
    ) -> GatewayError:
        """Return what a client is told; a prompt that may not be answered is forbidden here."""
        word = told_in(body).message.lower() if status == 403 else ""

        if "flagged" in word or "moderation" in word:
            return InvalidArgument(
                "The request may not be answered by this model.",
                code="content_filter",
                origin=Origin.UPSTREAM,
                param="messages",
            )

        return super().refusal(status, headers, body, key)

    def health_url(self, base: str) -> str | None:
        """Return what tells of the key: the list of models is long, and open to everybody."""
        return join_url(base, "/key")

    async def models(self, inquiry: Inquiry) -> Sequence[PublishedRecord]:
        """Return the models with their prices."""
        return [
            _record(inquiry.provider, name, entry)
            for entry in await entries_of(inquiry)
            if (name := text_in(entry, "id"))
        ]


def _record(provider: str, name: str, entry: JsonObject) -> PublishedRecord:
    architecture = object_in(entry, "architecture")
    limits = object_in(entry, "top_provider")
    inputs = names_in(architecture, "input_modalities")
    parameters = names_in(entry, "supported_parameters")
    pricing = object_in(entry, "pricing")
    return described(
        provider,
        OpenRouterAdapter.provider_type,
        name,
        Metadata(
            kind="llm",
            can_see=None if inputs is None else "image" in inputs,
            can_call_tools=None if parameters is None else "tools" in parameters,
            context_window=whole_in(entry, "context_length"),
            max_output_tokens=whole_in(limits, "max_completion_tokens"),
            created=whole_in(entry, "created"),
            state="loaded",
            input_price=_price(pricing.get("prompt")),
            output_price=_price(pricing.get("completion")),
            cache_read_price=_price(pricing.get("input_cache_read")),
            cache_write_price=_price(pricing.get("input_cache_write")),
        ),
    )


def _price(told: Json) -> float | None:
    """Return dollars for a million tokens, of the text that tells them for one.

    A price below zero means that it is not known beforehand.
    """
    try:
        price = float(told) if isinstance(told, str | int | float) else math.nan
    except ValueError:
        return None

    return round(price * _PER_MILLION, 6) if 0 <= price < math.inf else None
