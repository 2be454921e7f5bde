"""Session chats. Their bodies are read by models, and those are what is said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.chat.wire import ChatRequest, ConnectRequest, DisconnectRequest
from spindle_llm.surfaces.documentation.openai import TEXT, UPSTREAM, WHOLE
from spindle_spi.operation import JSON_CONTENT, OperationDoc, json_response

if TYPE_CHECKING:
    from pydantic import BaseModel

    from spindle_spi.types import Json, JsonObject


def connect() -> OperationDoc:
    """Return what is said of `POST /llmchat/connect`."""
    return _operation(
        "Begin a chat session with a model and a server's tools",
        ConnectRequest,
        _answer(
            "ChatConnected",
            status={"const": "connected"},
            user_id=TEXT,
            provider={"type": ["string", "null"]},
            tool_count=WHOLE,
            tools={"type": "array", "items": TEXT},
        ),
    )


def chat() -> OperationDoc:
    """Return what is said of `POST /llmchat/chat`."""
    return _operation(
        "Take a turn of one's chat session",
        ChatRequest,
        _answer(
            "ChatTurn",
            user_id=TEXT,
            response=TEXT,
            tool_used={"type": "boolean"},
            tools={"type": "array", "items": TEXT},
            tool_invocations=WHOLE,
            elapsed_ms=WHOLE,
        ),
    )


def disconnect() -> OperationDoc:
    """Return what is said of `POST /llmchat/disconnect`."""
    return _operation(
        "End one's chat session",
        DisconnectRequest,
        _answer(
            "ChatDisconnected",
            status={"enum": ["disconnected", "no_active_session"]},
            user_id=TEXT,
            message=TEXT,
        ),
    )


def status() -> OperationDoc:
    """Return what is said of `GET /llmchat/status/{user_id}`."""
    answer = _answer("ChatStatus", user_id=TEXT, connected={"type": "boolean"})
    return OperationDoc(
        summary="Ask whether one has a chat session",
        responses={"200": json_response("Whether there is one.", answer)},
    )


def _operation(summary: str, body: type[BaseModel], answer: JsonObject) -> OperationDoc:
    title = {"title": f"Session{body.__name__}"}
    return OperationDoc(
        summary=summary,
        description="`user_id` is one's own e-mail address, or the id of one's token.",
        request={JSON_CONTENT: body.model_json_schema() | title},
        responses={"200": json_response("Done.", answer)},
        refusals=UPSTREAM,
    )


def _answer(title: str, **properties: JsonObject) -> JsonObject:
    required: list[Json] = [*properties]
    return {
        "title": title,
        "type": "object",
        "properties": {**properties},
        "required": required,
    }
