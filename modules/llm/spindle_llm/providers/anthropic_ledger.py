"""What becomes of each parameter of OpenAI's on its way to Anthropic."""

from __future__ import annotations

from typing import Final

from spindle_llm.providers.extensions import ANTHROPIC
from spindle_llm.providers.ledger import Fate, Ledger

LEDGER: Final = Ledger(
    translated={
        "messages": "system, and turns that alternate",
        "max_tokens": "max_tokens",
        "max_completion_tokens": "max_tokens, before `max_tokens`",
        "stop": "stop_sequences",
        "tools": "tools",
        "tool_choice": "tool_choice",
        "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
        "reasoning_effort": "thinking and output_config.effort; `thinking.budget_tokens` by option",
        "response_format": "output_config.format; `json_object` is left out: there is no such mode",
        "user": "metadata.user_id",
        "safety_identifier": "metadata.user_id, before `user`",
        "service_tier": "service_tier; `flex`, `scale` and `fast` are left out",
        "stream_options": "nothing: the usage always comes",
        ANTHROPIC: "parameters of Anthropic's own, by their names",
    },
    passed=frozenset(
        {
            *("model", "stream", "temperature", "top_p", "top_k"),
            *("thinking", "output_config", "cache_control", "container"),
            *("context_management", "inference_geo", "speed"),
        }
    ),
    dropped=frozenset(
        {
            *("frequency_penalty", "presence_penalty", "logit_bias", "seed", "verbosity"),
            *("metadata", "store", "prediction"),
            *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
        }
    ),
    rejected=frozenset(
        {
            *("n", "logprobs", "top_logprobs", "audio", "modalities", "moderation"),
            *("web_search_options", "functions", "function_call"),
        }
    ),
    others=Fate.DROPPED,
)
"""Anthropic refuses what it does not know, so what nobody listed is left out, and said."""
