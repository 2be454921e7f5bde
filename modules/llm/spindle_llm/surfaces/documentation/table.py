"""The documentation of every surface, by method and path without the prefix `/v1`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spindle_llm.surfaces.documentation import (
    embeddings,
    messages,
    openai,
    responses,
    routing,
    services,
    session_chats,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_spi.operation import OperationDoc

_SAID: Final[dict[str, tuple[str, Callable[[], OperationDoc]]]] = {
    "POST /chat/completions": ("openai", openai.chat_completions),
    "POST /embeddings": ("openai", embeddings.create),
    "GET /models": ("openai", openai.list_models),
    "GET /models/{id:path}": ("openai", openai.get_model),
    "POST /responses": ("openai", responses.create),
    "GET /responses/{id}": ("openai", responses.retrieve),
    "DELETE /responses/{id}": ("openai", responses.delete),
    "POST /responses/{id}/cancel": ("openai", responses.cancel),
    "GET /responses/{id}/input_items": ("openai", responses.input_items),
    "GET /llm/routes/{id}": ("routing", routing.route_record),
    "POST /messages": ("anthropic", messages.create),
    "POST /messages/count_tokens": ("anthropic", messages.count_tokens),
    "GET /llm/services": ("services", services.list_services),
    "GET /llm/services/{service}": ("services", services.get_service),
    "GET /llm/services/{service}/models": ("services", services.list_models),
    "GET /llm/services/{service}/models/{model:path}": ("services", services.get_model),
    "GET /llm/services/{service}/ping": ("services", services.ping),
    "GET /llm/services/{service}/capabilities": ("services", services.capabilities),
    "GET /llm/providers/health": ("services", services.all_health),
    "GET /llm/providers/{id}/health": ("services", services.health),
    "POST /llm/providers/{id}/health": ("services", services.probe),
    "POST /llmchat/connect": ("session chats", session_chats.connect),
    "POST /llmchat/chat": ("session chats", session_chats.chat),
    "POST /llmchat/disconnect": ("session chats", session_chats.disconnect),
    "GET /llmchat/status/{user_id}": ("session chats", session_chats.status),
}


def operation_at(route: str) -> OperationDoc | None:
    """Return what is said of a route, `POST /v1/chat/completions`; None when nothing is."""
    method, _, path = route.partition(" ")
    said = _SAID.get(f"{method} {path.removeprefix('/v1')}")

    if said is None:
        return None

    tag, make = said
    return replace(make(), tag=tag)
