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
