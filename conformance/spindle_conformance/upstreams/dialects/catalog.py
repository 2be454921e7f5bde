"""Every dialect by its name, for who feeds adapters with the bytes of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_conformance.upstreams.dialects.anthropic import ANTHROPIC
from spindle_conformance.upstreams.dialects.azure_openai import AZURE_OPENAI
from spindle_conformance.upstreams.dialects.gpt4all import GPT4ALL
from spindle_conformance.upstreams.dialects.local import CORTEXSO, JAN, LM_STUDIO, LOCALAI
from spindle_conformance.upstreams.dialects.ollama import OLLAMA, OLLAMA_COMPATIBLE
from spindle_conformance.upstreams.dialects.openai import OPENAI
from spindle_conformance.upstreams.dialects.openrouter import OPENROUTER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_conformance.upstreams.dialects.base import Dialect

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        *(OPENAI, ANTHROPIC, OLLAMA, OLLAMA_COMPATIBLE, LM_STUDIO, JAN),
        *(GPT4ALL, LOCALAI, CORTEXSO, OPENROUTER, AZURE_OPENAI),
    )
}
