"""The adapter of Ollama."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import msgspec

from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.providers.detection import Metadata, described
from spindle_llm.providers.inquiry import require_success
from spindle_llm.providers.local_models import each, told
from spindle_llm.providers.ollama_chat import COMPATIBLE, OllamaChat, seconds_of
from spindle_llm.providers.ollama_embeddings import OllamaEmbeddings
from spindle_llm.providers.openai import MAX_LISTED_MODELS, OpenAiAdapter
from spindle_llm.providers.readings import names_in, object_in, objects_in, text_in, whole_in
from spindle_llm.providers.runtimes import OLLAMA_OPTIONS
from spindle_llm.providers.urls import root_url

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from spindle_llm.providers.dialect import ChatDialect, EmbeddingsDialect
    from spindle_llm.providers.inquiry import Inquiry
    from spindle_spi.records import ModelSpec, ProviderSpec, PublishedRecord
    from spindle_spi.types import JsonObject

_NATIVE = OLLAMA_OPTIONS.request | OLLAMA_OPTIONS.options | {"options", "format"}
"""Parameters that Ollama's own form knows, and OpenAI's has no place for."""


class OllamaAdapter(OpenAiAdapter):
    """Ollama.

    A provider's options may say `keep_alive`, `num_ctx`, any other option of the runtime, or an
    object `options` of them. Where one is set there, among a model's defaults, or by a request,
    chats are asked in Ollama's own form, which alone takes them.
    """

    provider_type: ClassVar[str] = "ollama"
    title: ClassVar[str] = "Ollama"
    is_local: ClassVar[bool] = True
    default_base: ClassVar[str | None] = "http://localhost:11434"
    capabilities: ClassVar[ServiceCapabilities] = ServiceCapabilities(
        install_model=True,
        import_model=True,
        update_model=True,
        load_model=True,
        unload_model=True,
        delete_model=True,
        load_model_cancel=True,
        load_model_timeout=True,
        huggingface_models_supported=True,
        ollama_models_supported=True,
        embedding=True,
    )
    chat_dialect: ClassVar[ChatDialect] = COMPATIBLE
    embeddings_dialect: ClassVar[EmbeddingsDialect | None] = OllamaEmbeddings()

    def chat(self, provider: ProviderSpec, model: ModelSpec, given: Container[str]) -> ChatDialect:
        """Return OpenAI's form, unless something is set that only Ollama's own form takes."""
        settings = {name: provider.options[name] for name in _NATIVE & provider.options.keys()}

        if settings:
            return _native(msgspec.json.encode(settings, order="sorted"))

        defaults = _NATIVE & (model.defaults.keys() | provider.defaults.keys())

        if defaults or any(name in given for name in _NATIVE):
            return _native(b"{}")

        return self.chat_dialect

    def health_url(self, base: str) -> str | None:
        """Return what tells its version."""
        return root_url(base, "/api/version")

    async def models(self, inquiry: Inquiry) -> Sequence[PublishedRecord]:
        """Return the models that are there, those that are loaded first.

        An older server says nothing of what a model can do in its list; it is asked about each.
        """
        listing = require_success(
            await inquiry.get(root_url(inquiry.base, "/api/tags")), "its list of models"
        )
        listed = {
            name: entry
            for entry in objects_in(listing, "models")[:MAX_LISTED_MODELS]
            if (name := text_in(entry, "model") or text_in(entry, "name"))
        }
        loaded = await _loaded(inquiry)
        shown = await _shown(inquiry, [name for name in listed if not _is_told(listed[name])])
        order = [*(name for name in loaded or () if name in listed), *listed]
        return [
            described(
                inquiry.provider,
                self.provider_type,
                name,
                _metadata(listed[name], shown.get(name, {}), _state(name, loaded)),
            )
            for name in dict.fromkeys(order)
        ]

    async def is_here(self, inquiry: Inquiry) -> bool:
        """Tell whether it is this server that answers."""
        reply = await inquiry.get(root_url(inquiry.base, "/api/version"))
        return text_in(require_success(reply, "its version"), "version") is not None


@lru_cache(maxsize=256)
def _native(settings: bytes) -> OllamaChat:
    """Return the dialect of providers with these options; the same one, so its URLs are kept."""
    return OllamaChat(msgspec.json.decode(settings))


async def _loaded(inquiry: Inquiry) -> dict[str, JsonObject] | None:
    """Return what is loaded, the one that stays longest first; None when it cannot be told."""
    runs = await told(inquiry.get(root_url(inquiry.base, "/api/ps")))

    if runs is None:
        return None

    entries = objects_in(runs, "models")
    named = {text_in(entry, "model") or text_in(entry, "name") or "": entry for entry in entries}
    return {name: entry for name, entry in named.items() if name}


async def _shown(inquiry: Inquiry, names: Iterable[str]) -> dict[str, JsonObject]:
    """Return what the server tells of single models; one that it does not tell is left out."""
    shown: dict[str, JsonObject] = {}

    async def ask(name: str) -> None:
        reply = await inquiry.post(root_url(inquiry.base, "/api/show"), {"model": name})
        shown[name] = require_success(reply, "a model")

    await each(names, ask)
    return shown


def _is_told(entry: JsonObject) -> bool:
    details = entry.get("details")
    context = details.get("context_length") if isinstance(details, dict) else None
    return "capabilities" in entry and context is not None


def _state(name: str, loaded: dict[str, JsonObject] | None) -> str:
    if loaded is None:
        return "unknown"

    return "loaded" if name in loaded else "not_loaded"


def _metadata(entry: JsonObject, shown: JsonObject, state: str) -> Metadata:
    details = {**object_in(entry, "details")}
    details.update({name: value for name, value in object_in(shown, "details").items() if value})
    info = object_in(shown, "model_info")
    architecture = text_in(info, "general.architecture") or text_in(details, "family")
    capabilities = names_in(entry, "capabilities")

    if capabilities is None:
        capabilities = names_in(shown, "capabilities")

    return Metadata(
        capabilities=capabilities,
        architecture=architecture,
        quantization=text_in(details, "quantization_level"),
        parameters=whole_in(info, "general.parameter_count") or text_in(details, "parameter_size"),
        size=whole_in(entry, "size"),
        weights=text_in(details, "format"),
        engine="remote" if text_in(entry, "remote_host") else None,
        context_window=whole_in(details, "context_length")
        or whole_in(info, f"{architecture}.context_length"),
        dimensions=whole_in(details, "embedding_length")
        or whole_in(info, f"{architecture}.embedding_length"),
        modified_at=seconds_of(entry.get("modified_at")),
        state=state,
    )
