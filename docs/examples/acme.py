"""The adapter of Acme, which speaks OpenAI's form with a few words of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.providers.detection import Metadata
from spindle_llm.providers.inquiry import require_success
from spindle_llm.providers.local_chat import LocalChat
from spindle_llm.providers.local_models import recorded, require_list
from spindle_llm.providers.openai import OpenAiAdapter, common_headers
from spindle_llm.providers.readings import names_in, objects_in, whole_in
from spindle_llm.providers.urls import join_url, root_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle_llm.providers.dialect import ChatDialect
    from spindle_llm.providers.inquiry import Inquiry
    from spindle_spi.errors import GatewayError
    from spindle_spi.records import ProviderSpec, PublishedRecord
    from spindle_spi.secret import Secret
    from spindle_spi.types import JsonObject


def _fit(request: JsonObject) -> None:
    """Say in Acme's word how much the model may think, in place."""
    effort = request.pop("reasoning_effort", None)

    if effort is not None:
        request["thinking_level"] = effort


class AcmeAdapter(OpenAiAdapter):
    """Acme: a key in a header of its own, a list of models with what each can do."""

    provider_type: ClassVar[str] = "acme"
    title: ClassVar[str] = "Acme"
    default_base: ClassVar[str | None] = "https://api.acme.example/v1"
    capabilities: ClassVar[ServiceCapabilities] = ServiceCapabilities(embedding=True)
    chat_dialect: ClassVar[ChatDialect] = LocalChat(
        passed=frozenset(
            {
                *("max_tokens", "temperature", "top_p", "stop", "seed", "tools", "tool_choice"),
                *("frequency_penalty", "presence_penalty", "response_format", "user"),
            }
        ),
        translated={"reasoning_effort": "thinking_level"},
        dropped=frozenset({"logit_bias", "parallel_tool_calls", "verbosity"}),
        rejected=frozenset({"n", "logprobs", "top_logprobs"}),
        fit=_fit,
    )

    def headers(self, spec: ProviderSpec, key: Secret | None) -> dict[str, str]:
        """Return the headers of every request."""
        headers = common_headers()

        if key:
            headers["X-Acme-Key"] = key.reveal()

        return headers

    def refusal(
        self, status: int, headers: Mapping[str, str], body: bytes, key: Secret | None
    ) -> GatewayError:
        """Return what a client is told: 420 is what Acme says of a client that is too fast."""
        return super().refusal(429 if status == 420 else status, headers, body, key)

    def health_url(self, base: str) -> str | None:
        """Return what tells that it is alive."""
        return root_url(base, "/alive")

    async def models(self, inquiry: Inquiry) -> Sequence[PublishedRecord]:
        """Return the models that are listed."""
        reply = await inquiry.get(join_url(inquiry.base, "/models"))
        listing = require_success(reply, "its list of models")
        require_list(listing, "models")
        entries = objects_in(listing, "models")
        return recorded(inquiry.provider, self.provider_type, entries, _metadata, "name")


def _metadata(entry: JsonObject) -> Metadata:
    return Metadata(
        capabilities=names_in(entry, "can"),
        context_window=whole_in(entry, "window"),
        state="loaded",
    )
