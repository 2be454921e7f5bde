"""The adapter of Jan's local server."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.providers.detection import Metadata
from spindle_llm.providers.local_chat import (
    NAMED_TOOL,
    LocalChat,
    named_tool_alone,
    require_functions,
)
from spindle_llm.providers.local_models import listed
from spindle_llm.providers.openai import OpenAiAdapter
from spindle_llm.providers.readings import text_in
from spindle_llm.providers.urls import join_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_llm.providers.dialect import ChatDialect
    from spindle_llm.providers.inquiry import Inquiry
    from spindle_spi.records import ProviderSpec, PublishedRecord
    from spindle_spi.secret import Secret
    from spindle_spi.types import JsonObject


def _fit(request: JsonObject) -> None:
    """Say what the engine below Jan knows only in another way, in place."""
    require_functions(request.get("tools"))
    named_tool_alone(request)
    effort = request.pop("reasoning_effort", None)

    if effort is not None:
        given = request.get("chat_template_kwargs")
        more = given if isinstance(given, dict) else {}
        request["chat_template_kwargs"] = {"reasoning_effort": effort, **more}


class JanAdapter(OpenAiAdapter):
    """Jan.

    It answers only hosts that it trusts, and trusts the loopback ones. The option `host` of a
    provider is sent as the header of that name, where Jan is reached under another one.
    """

    provider_type: ClassVar[str] = "jan"
    title: ClassVar[str] = "Jan"
    is_local: ClassVar[bool] = True
    default_base: ClassVar[str | None] = "http://127.0.0.1:1337/v1"
    capabilities: ClassVar[ServiceCapabilities] = ServiceCapabilities(embedding=True)
    chat_dialect: ClassVar[ChatDialect] = LocalChat(
        passed=frozenset(
            {
                *("max_tokens", "temperature", "top_p", "stop", "seed", "tools", "logit_bias"),
                *("frequency_penalty", "presence_penalty", "response_format", "logprobs"),
                *("top_logprobs", "parallel_tool_calls"),
            }
        ),
        translated={
            "tool_choice": NAMED_TOOL,
            "reasoning_effort": "chat_template_kwargs.reasoning_effort",
        },
        dropped=frozenset({"verbosity"}),
        rejected=frozenset({"n"}),
        fit=_fit,
    )

    def headers(self, spec: ProviderSpec, key: Secret | None) -> dict[str, str]:
        """Return the headers of every request."""
        headers = super().headers(spec, key)
        host = spec.options.get("host")

        if isinstance(host, str):
            headers["Host"] = host

        return headers

    async def models(self, inquiry: Inquiry) -> Sequence[PublishedRecord]:
        """Return the models that run now, and those of others that Jan passes on."""
        return await listed(inquiry, self.provider_type, _metadata)

    async def is_here(self, inquiry: Inquiry) -> bool:
        """Tell whether it is this server that answers; it may want a token first."""
        reply = await inquiry.get(join_url(inquiry.base, "/models"))

        if reply.status == 401:
            return b"Invalid or missing authorization token" in reply.body

        return reply.status == 200 and reply.body.startswith(b"{")


def _metadata(entry: JsonObject) -> Metadata:
    owner = text_in(entry, "owned_by")
    created = entry.get("created")
    return Metadata(
        engine=owner,
        weights={"llama.cpp": "gguf", "mlx": "mlx"}.get(owner or ""),
        created=created if isinstance(created, int) and created > 1 else None,
        state="loaded",
    )
