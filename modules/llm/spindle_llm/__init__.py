"""The LLM protocol module of Spindle."""

from __future__ import annotations

from spindle_llm.module import LlmModule

__all__ = ["LlmModule"]
