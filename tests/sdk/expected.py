"""The checks of each SDK, by name: one that does not run is a failure, as is one more."""

from __future__ import annotations

_OPENAI_CHAT = (
    "chat.unary",
    "chat.stream",
    "chat.stream_without_usage",
    "chat.stream_helper",
    "chat.tools_unary",
    "chat.tools_stream",
    "chat.parallel_tools",
    "chat.structured_parse",
    "chat.structured_stream",
    "chat.json_object",
    "chat.content_parts",
    "chat.reasoning",
    "chat.refusal",
    "chat.length",
    "chat.choices",
    "chat.hard_name",
    "chat.request_id",
    "models.list",
    "models.retrieve",
)
_ERRORS = (
    "errors.400",
    "errors.401",
    "errors.403",
    "errors.404",
    "errors.429",
    "errors.5xx",
    "errors.in_stream",
)
_RETRIES = (
    "retries.none_on_the_callers_fault",
    "retries.none_when_told_not_to",
    "retries.on_5xx",
    "retries.honour_retry_after_ms",
)

_LANGCHAIN = (
    "chat.unary",
    "chat.async",
    "chat.stream",
    "chat.tools_unary",
    "chat.tools_stream",
    "chat.structured",
    "chat.structured_by_tool",
    "chat.structured_stream",
    "chat.refusal",
    "chat.choices",
    "chat.hard_name",
    "chat.batch",
    "errors.by_class",
    "errors.in_stream",
    "retries.none_when_told_not_to",
    "retries.on_5xx",
    "retries.honour_retry_after_ms",
)
_PYDANTIC_AI = (
    "chat.unary",
    "chat.stream",
    "chat.tools_unary",
    "chat.tools_stream",
    "chat.structured_native",
    "chat.structured_by_tool",
    "chat.structured_by_prompt",
    "chat.reasoning",
    "chat.history",
    "chat.hard_name",
    "errors.by_status",
    "errors.in_stream",
    "retries.none_when_told_not_to",
    "retries.honour_retry_after_ms",
)
_VERCEL_CHAT = ("unary", "stream", "tools_unary", "tools_stream", "structured", "hard_name")
_VERCEL_AI = (
    *(f"{provider}.{name}" for provider in ("compatible", "openai") for name in _VERCEL_CHAT),
    "compatible.reasoning",
    "errors.by_status",
    "errors.in_stream",
    "retries.on_5xx",
    "retries.none_on_the_callers_fault",
    "retries.honour_retry_after_ms",
)

CHECKS: dict[str, tuple[str, ...]] = {
    "openai_python": (*_OPENAI_CHAT, "chat.async", *_ERRORS, "errors.async", *_RETRIES),
    "openai_node": (*_OPENAI_CHAT, "chat.tools_runner", *_ERRORS, *_RETRIES),
    "langchain": _LANGCHAIN,
    "pydantic_ai": _PYDANTIC_AI,
    "vercel_ai": _VERCEL_AI,
}
