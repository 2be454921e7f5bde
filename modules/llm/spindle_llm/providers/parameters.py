"""The parameters of a chat that OpenAI's API names: each has a fate in every dialect's ledger."""

from __future__ import annotations

from typing import Final

CHAT_PARAMETERS: Final = frozenset(
    {
        *("messages", "model", "audio", "frequency_penalty", "function_call", "functions"),
        *("logit_bias", "logprobs", "max_completion_tokens", "max_tokens", "metadata"),
        *("modalities", "moderation", "n", "parallel_tool_calls", "prediction"),
        *("presence_penalty", "prompt_cache_key", "prompt_cache_options"),
        *("prompt_cache_retention", "reasoning_effort", "response_format", "safety_identifier"),
        *("seed", "service_tier", "stop", "store", "stream", "stream_options", "temperature"),
        *("tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity"),
        "web_search_options",
    }
)

OF_THE_ACCOUNT: Final = frozenset(
    {
        *("user", "safety_identifier", "metadata", "store", "service_tier", "prediction"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
    }
)
"""Those that speak of accounts, prices and caches at OpenAI: the answer is none the worse where
a server has no such thing."""

OF_OTHER_MODELS: Final = frozenset(
    {"audio", "modalities", "moderation", "web_search_options", "functions", "function_call"}
)
"""Those that ask for what no server of local models does: a sound, a search, a judgement, calls in
the form before tools."""
