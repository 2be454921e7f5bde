"""Every provider type this module speaks to. A new one is a line here, and a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.providers.anthropic import AnthropicAdapter
from spindle_llm.providers.azure_openai import AzureOpenAiAdapter
from spindle_llm.providers.cortexso import CortexsoAdapter
from spindle_llm.providers.gpt4all import GPT4AllAdapter
from spindle_llm.providers.jan import JanAdapter
from spindle_llm.providers.lm_studio import LMStudioAdapter
from spindle_llm.providers.localai import LocalAIAdapter
from spindle_llm.providers.mock import MockAdapter
from spindle_llm.providers.ollama import OllamaAdapter
from spindle_llm.providers.openai import OpenAiAdapter, OpenAiCompatibleAdapter
from spindle_llm.providers.openrouter import OpenRouterAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_llm.providers.base import Adapter

ADAPTERS: tuple[type[Adapter], ...] = (
    OpenAiAdapter,
    OpenAiCompatibleAdapter,
    AnthropicAdapter,
    AzureOpenAiAdapter,
    OpenRouterAdapter,
    OllamaAdapter,
    LMStudioAdapter,
    JanAdapter,
    GPT4AllAdapter,
    LocalAIAdapter,
    CortexsoAdapter,
    MockAdapter,
)


def adapters() -> Mapping[str, Adapter]:
    """Return an adapter of each type, by the name provider records use."""
    return {kind.provider_type: kind() for kind in ADAPTERS}
