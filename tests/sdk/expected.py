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

_EMBEDDINGS = (
    "embeddings.default_is_base64",
    "embeddings.float",
    "embeddings.of_an_upstream_without_base64",
    "embeddings.order",
    "embeddings.dimensions",
    "embeddings.errors",
)
_RESPONSES = (
    "responses.create",
    "responses.stream_events",
    "responses.stream_helper",
    "responses.tools",
    "responses.tools_stream",
    "responses.structured_parse",
    "responses.reasoning",
    "responses.refusal",
    "responses.incomplete",
    "responses.retrieve",
    "responses.delete",
    "responses.input_items",
    "responses.previous_response_id",
    "responses.errors",
    "responses.errors_in_stream",
    "responses.retries",
)
_OPENAI = (*_OPENAI_CHAT, *_ERRORS, *_RETRIES, *_EMBEDDINGS, *_RESPONSES)
_PYTHON_ONLY = (
    "chat.async",
    "errors.async",
    "embeddings.tokens",
    "responses.parallel_tools",
    "responses.not_stored",
    "responses.background",
    "responses.cancel",
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
_OVER_RESPONSES = (
    "responses.unary",
    "responses.stream",
    "responses.tools",
    "responses.structured",
    "responses.errors",
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

_ANTHROPIC_MESSAGES = (
    "messages.unary",
    "messages.async",
    "messages.stream_events",
    "messages.stream_helper",
    "messages.tools_unary",
    "messages.tools_stream",
    "messages.parallel_tools",
    "messages.text_and_tools",
    "messages.thinking",
    "messages.thinking_round_trip",
    "messages.reasoning_of_others",
    "messages.stop_reasons",
    "messages.structured",
    "messages.blocks",
    "messages.hard_name",
    "messages.request_id",
    "count_tokens",
    "credentials",
    "models.list",
    "errors.by_class",
    "errors.in_stream",
    "errors.async",
)
_OVER_ANTHROPIC = (
    "anthropic.unary",
    "anthropic.stream",
    "anthropic.tools",
    "anthropic.thinking",
    "anthropic.structured",
    "anthropic.errors",
    "anthropic.retries",
)

CHECKS: dict[str, tuple[str, ...]] = {
    "openai_python": (*_OPENAI, *_PYTHON_ONLY),
    "openai_node": (*_OPENAI, "chat.tools_runner"),
    "anthropic_python": (*_ANTHROPIC_MESSAGES, *_RETRIES),
    "langchain": (
        *_LANGCHAIN,
        *_OVER_RESPONSES,
        "embeddings",
        *_OVER_ANTHROPIC,
        "anthropic.count_tokens",
    ),
    "pydantic_ai": (
        *_PYDANTIC_AI,
        *_OVER_RESPONSES,
        "responses.reasoning",
        "responses.previous_response_id",
        "embeddings",
        *_OVER_ANTHROPIC,
        "anthropic.count_tokens",
    ),
    "vercel_ai": (
        *_VERCEL_AI,
        *_OVER_RESPONSES,
        "responses.reasoning",
        "embeddings",
        *_OVER_ANTHROPIC,
        "anthropic.errors_in_stream",
    ),
}
