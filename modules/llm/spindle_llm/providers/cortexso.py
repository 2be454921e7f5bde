"""The adapter of Cortex."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.providers.detection import Metadata
from spindle_llm.providers.local_chat import LocalChat
from spindle_llm.providers.local_models import MAX_ASKED, each, entries_of, recorded
from spindle_llm.providers.openai import OpenAiAdapter
from spindle_llm.providers.readings import text_in, whole_in
from spindle_llm.providers.refusal_words import Subject, told_in
from spindle_llm.providers.urls import join_url, root_url
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle_llm.providers.dialect import ChatDialect
    from spindle_llm.providers.inquiry import Inquiry
    from spindle_spi.errors import GatewayError
    from spindle_spi.records import PublishedRecord
    from spindle_spi.secret import Secret
    from spindle_spi.types import JsonObject

_OF_THE_CLIENT = ("missing required", "invalid", "must be", "not valid")
"""Words in which Cortex speaks of a request; all else that it calls a bad request is its own."""


class CortexsoAdapter(OpenAiAdapter):
    """Cortex, of the company that names itself Cortexso in its registry."""

    provider_type: ClassVar[str] = "cortexso"
    title: ClassVar[str] = "Cortex"
    is_local: ClassVar[bool] = True
    default_base: ClassVar[str | None] = "http://127.0.0.1:39281"
    capabilities: ClassVar[ServiceCapabilities] = ServiceCapabilities(
        install_model=True,
        import_model=True,
        update_model=True,
        load_model=True,
        unload_model=True,
        delete_model=True,
        load_model_timeout=True,
        huggingface_models_supported=True,
        embedding=True,
    )
    chat_dialect: ClassVar[ChatDialect] = LocalChat(
        passed=frozenset(
            {
                *("max_tokens", "temperature", "top_p", "stop", "seed", "tools", "tool_choice"),
                *("frequency_penalty", "presence_penalty", "response_format", "logprobs"),
                *("top_logprobs", "logit_bias", "n"),
            }
        ),
        dropped=frozenset({"parallel_tool_calls", "verbosity", "reasoning_effort"}),
    )

    def health_url(self, base: str) -> str | None:
        """Return what tells that it is alive."""
        return root_url(base, "/healthz")

    def refusal(
        self, status: int, headers: Mapping[str, str], body: bytes, key: Secret | None
    ) -> GatewayError:
        """Return what a client is told: nearly everything is a bad request here."""
        told = told_in(body)
        word = told.message.lower()

        if status == 400 and told.subject not in (Subject.CONTEXT, Subject.MODEL):
            is_clients = any(said in word for said in _OF_THE_CLIENT)

            if not is_clients:
                return UpstreamError("The upstream failed.")

        return super().refusal(status, headers, body, key)

    async def models(self, inquiry: Inquiry) -> Sequence[PublishedRecord]:
        """Return the models that are downloaded, those that run first.

        What could be downloaded is listed beside them, and whether one runs is asked of each.
        """
        entries = [
            entry
            for entry in await entries_of(inquiry)
            if text_in(entry, "status") == "downloaded" and text_in(entry, "id")
        ]
        states: dict[str, str] = {}

        async def ask(name: str) -> None:
            url = join_url(inquiry.base, f"/models/status/{quote(name, safe='')}")
            reply = await inquiry.get(url)
            states[name] = "loaded" if reply.status == 200 else "not_loaded"

        await each((str(entry["id"]) for entry in entries[:MAX_ASKED]), ask)

        def metadata(entry: JsonObject) -> Metadata:
            return Metadata(
                engine=text_in(entry, "engine"),
                size=whole_in(entry, "size"),
                context_window=whole_in(entry, "ctx_len"),
                max_output_tokens=whole_in(entry, "max_tokens"),
                state=states.get(str(entry["id"]), "unknown"),
            )

        return recorded(inquiry.provider, self.provider_type, entries, metadata)

    async def is_here(self, inquiry: Inquiry) -> bool:
        """Tell whether it is this server that answers."""
        reply = await inquiry.get(root_url(inquiry.base, "/healthz"))
        return reply.status == 200 and b"cortex" in reply.body.lower()
