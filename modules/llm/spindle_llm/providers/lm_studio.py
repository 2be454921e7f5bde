"""The adapter of LM Studio's local server."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final

from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.providers.detection import Metadata
from spindle_llm.providers.local_chat import (
    NAMED_TOOL,
    LocalChat,
    named_tool_alone,
    require_functions,
)
from spindle_llm.providers.local_models import listed, recorded, told
from spindle_llm.providers.openai import MAX_LISTED_MODELS, OpenAiAdapter
from spindle_llm.providers.readings import (
    flag_in,
    names_in,
    object_in,
    objects_in,
    text_in,
    whole_in,
)
from spindle_llm.providers.urls import root_url

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from spindle_llm.providers.dialect import ChatDialect
    from spindle_llm.providers.inquiry import Inquiry
    from spindle_spi.records import ModelSpec, ProviderSpec, PublishedRecord
    from spindle_spi.types import JsonObject

_ANY_OBJECT: Final[JsonObject] = {"name": "answer", "schema": {"type": "object"}}


class LMStudioAdapter(OpenAiAdapter):
    """LM Studio.

    The option `ttl` of a provider says how many seconds a model that a request loaded stays loaded
    when nobody asks it; a request may say its own.
    """

    provider_type: ClassVar[str] = "lm_studio"
    title: ClassVar[str] = "LM Studio"
    is_local: ClassVar[bool] = True
    default_base: ClassVar[str | None] = "http://localhost:1234"
    capabilities: ClassVar[ServiceCapabilities] = ServiceCapabilities(
        install_model=True,
        update_model=True,
        load_model=True,
        unload_model=True,
        load_model_progress=True,
        load_model_cancel=True,
        load_model_timeout=True,
        huggingface_models_supported=True,
        embedding=True,
    )

    def chat(self, provider: ProviderSpec, model: ModelSpec, given: Container[str]) -> ChatDialect:
        """Return the dialect of its chats, with the time a model stays loaded."""
        del model, given
        ttl = provider.options.get("ttl")
        return _chat(int(ttl) if isinstance(ttl, int | float) and ttl > 0 else None)

    async def models(self, inquiry: Inquiry) -> Sequence[PublishedRecord]:
        """Return the models that are downloaded, those that are loaded first.

        Asked by API v1, by v0 where there is none, by OpenAI's list where there is neither.
        """
        newer = await told(inquiry.get(root_url(inquiry.base, "/api/v1/models")))

        if newer is not None and isinstance(newer.get("models"), list):
            entries = objects_in(newer, "models")[:MAX_LISTED_MODELS]
            return recorded(inquiry.provider, self.provider_type, entries, _native, "key")

        older = await told(inquiry.get(root_url(inquiry.base, "/api/v0/models")))

        if older is not None and isinstance(older.get("data"), list):
            entries = objects_in(older, "data")[:MAX_LISTED_MODELS]
            return recorded(inquiry.provider, self.provider_type, entries, _old)

        return await listed(inquiry, self.provider_type, lambda _: Metadata())

    async def is_here(self, inquiry: Inquiry) -> bool:
        """Tell whether it is this server that answers."""
        for path in ("/api/v1/models", "/api/v0/models"):
            if await told(inquiry.get(root_url(inquiry.base, path))) is not None:
                return True

        return False


def _fit(request: JsonObject) -> None:
    """Say what LM Studio knows only in another way, in place."""
    require_functions(request.get("tools"))
    named_tool_alone(request)
    wanted = request.get("response_format")

    if isinstance(wanted, dict) and wanted.get("type") == "json_object":
        request["response_format"] = {"type": "json_schema", "json_schema": _ANY_OBJECT}


@lru_cache(maxsize=256)
def _chat(ttl: int | None) -> LocalChat:
    return LocalChat(
        passed=frozenset(
            {
                *("max_tokens", "temperature", "top_p", "stop", "seed", "tools", "logit_bias"),
                *("frequency_penalty", "presence_penalty", "reasoning_effort"),
                *("top_k", "min_p", "repeat_penalty", "ttl"),
            }
        ),
        translated={
            "tool_choice": NAMED_TOOL,
            "response_format": "response_format: `json_object` is a schema of any object",
        },
        dropped=frozenset({"parallel_tool_calls", "verbosity"}),
        rejected=frozenset({"n", "logprobs", "top_logprobs"}),
        fit=_fit,
        always=None if ttl is None else {"ttl": ttl},
    )


def _native(entry: JsonObject) -> Metadata:
    """Return what API v1 says of a model."""
    capabilities = object_in(entry, "capabilities")
    instances = objects_in(entry, "loaded_instances")
    loaded = [whole_in(object_in(each, "config"), "context_length") for each in instances]
    return Metadata(
        kind=text_in(entry, "type"),
        can_call_tools=flag_in(capabilities, "trained_for_tool_use"),
        can_see=flag_in(capabilities, "vision"),
        publisher=text_in(entry, "publisher"),
        architecture=text_in(entry, "architecture"),
        quantization=text_in(object_in(entry, "quantization"), "name"),
        parameters=text_in(entry, "params_string"),
        size=whole_in(entry, "size_bytes"),
        weights=text_in(entry, "format"),
        context_window=next(filter(None, loaded), None) or whole_in(entry, "max_context_length"),
        state="loaded" if instances else "not_loaded",
    )


def _old(entry: JsonObject) -> Metadata:
    """Return what API v0 says of a model."""
    capabilities = names_in(entry, "capabilities")
    state = text_in(entry, "state")
    return Metadata(
        kind=text_in(entry, "type"),
        can_call_tools=None if capabilities is None else "tool_use" in capabilities,
        publisher=text_in(entry, "publisher"),
        architecture=text_in(entry, "arch"),
        quantization=text_in(entry, "quantization"),
        weights=text_in(entry, "compatibility_type"),
        context_window=whole_in(entry, "max_context_length"),
        state={"loaded": "loaded", "not-loaded": "not_loaded"}.get(state or "", "unknown"),
    )
