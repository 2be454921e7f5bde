"""The adapter of LocalAI."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.providers.detection import Metadata
from spindle_llm.providers.local_chat import LocalChat
from spindle_llm.providers.local_models import entries_of, recorded, told
from spindle_llm.providers.openai import OpenAiAdapter
from spindle_llm.providers.readings import names_in, objects_in, text_in, whole_in
from spindle_llm.providers.urls import join_url, root_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_llm.providers.dialect import ChatDialect
    from spindle_llm.providers.inquiry import Inquiry
    from spindle_spi.records import PublishedRecord
    from spindle_spi.types import JsonObject


class LocalAIAdapter(OpenAiAdapter):
    """LocalAI."""

    provider_type: ClassVar[str] = "localai"
    title: ClassVar[str] = "LocalAI"
    is_local: ClassVar[bool] = True
    default_base: ClassVar[str | None] = "http://localhost:8080"
    capabilities: ClassVar[ServiceCapabilities] = ServiceCapabilities(
        install_model=True,
        import_model=True,
        update_model=True,
        load_model=True,
        unload_model=True,
        delete_model=True,
        load_model_timeout=True,
        huggingface_models_supported=True,
        ollama_models_supported=True,
        embedding=True,
    )
    chat_dialect: ClassVar[ChatDialect] = LocalChat(
        passed=frozenset(
            {
                *("max_tokens", "temperature", "top_p", "stop", "seed", "tools", "tool_choice"),
                *("frequency_penalty", "presence_penalty", "response_format", "logprobs"),
                *("top_logprobs", "logit_bias", "reasoning_effort", "n"),
            }
        ),
        dropped=frozenset({"parallel_tool_calls", "verbosity"}),
    )

    def health_url(self, base: str) -> str | None:
        """Return what tells whether it has started; it wants no credential."""
        return root_url(base, "/readyz")

    async def models(self, inquiry: Inquiry) -> Sequence[PublishedRecord]:
        """Return the models that are installed, those that are loaded first."""
        entries = await entries_of(inquiry)
        able = await told(inquiry.get(join_url(inquiry.base, "/models/capabilities"))) or {}
        abilities = {text_in(entry, "id"): entry for entry in objects_in(able, "data")}
        system = await told(inquiry.get(root_url(inquiry.base, "/system")))
        loaded = {
            text_in(entry, "id"): text_in(entry, "backend")
            for entry in objects_in(system or {}, "loaded_models")
        }

        def metadata(entry: JsonObject) -> Metadata:
            name = text_in(entry, "id")
            state = "loaded" if name in loaded else "not_loaded"
            modalities = names_in(abilities.get(name, {}), "input_modalities")
            return Metadata(
                capabilities=names_in(abilities.get(name, {}), "capabilities"),
                can_see=None if modalities is None else "image" in modalities,
                engine=loaded.get(name),
                created=whole_in(entry, "created"),
                state="unknown" if system is None else state,
            )

        return recorded(inquiry.provider, self.provider_type, entries, metadata)

    async def is_here(self, inquiry: Inquiry) -> bool:
        """Tell whether it is this server that answers: many others use its port."""
        found = inquiry.get(root_url(inquiry.base, "/.well-known/localai.json"))
        return await told(found) is not None
