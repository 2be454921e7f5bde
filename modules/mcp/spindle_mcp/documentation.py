"""What the routes of this module say of themselves: the envelope of MCP, not its methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_spi.operation import JSON_CONTENT, OperationDoc, ParameterDoc, ResponseDoc

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_EVENTS: Final = "text/event-stream"
_TEXT: Final[JsonObject] = {"type": "string"}
_ID: Final[JsonObject] = {"type": ["string", "integer"]}
_VERSION: Final[JsonObject] = {"const": "2.0"}


def _message(title: str, *required: str, **properties: JsonObject) -> JsonObject:
    needed: list[Json] = ["jsonrpc", *required]
    return {
        "title": title,
        "type": "object",
        "properties": {"jsonrpc": _VERSION, **properties},
        "required": needed,
    }


_ERROR: Final[JsonObject] = {
    "type": "object",
    "properties": {"code": {"type": "integer"}, "message": _TEXT},
    "required": ["code", "message"],
}
_REQUEST: Final = _message(
    "JsonRpcRequest", "method", id=_ID, method=_TEXT, params={"type": ["object", "null"]}
)
_FAILURE: Final = _message("JsonRpcFailure", "error", id={}, error=_ERROR)
_RESULT: Final = _message("JsonRpcResult", "id", "result", id=_ID, result={"type": "object"})
_ANSWER: Final[JsonObject] = {
    "title": "JsonRpcAnswer",
    "anyOf": [{"$ref": "#/$defs/JsonRpcResult"}, {"$ref": "#/$defs/JsonRpcFailure"}],
    "$defs": {"JsonRpcResult": _RESULT, "JsonRpcFailure": _FAILURE},
}
_POSTED: Final[JsonObject] = {
    "title": "JsonRpcPosted",
    "anyOf": [
        {"$ref": "#/$defs/JsonRpcRequest"},
        {"$ref": "#/$defs/JsonRpcResult"},
        {"$ref": "#/$defs/JsonRpcFailure"},
    ],
    "$defs": {
        "JsonRpcRequest": _REQUEST,
        "JsonRpcResult": _RESULT,
        "JsonRpcFailure": _FAILURE,
    },
}
_HEADERS: Final = (
    ParameterDoc(
        name="mcp-protocol-version",
        place="header",
        schema=_TEXT,
        description="The revision of MCP that is spoken.",
    ),
    ParameterDoc(
        name="mcp-session-id",
        place="header",
        schema=_TEXT,
        description="Of a session, in the revisions that have them.",
    ),
)
_REFUSED: Final = ResponseDoc(description="It was refused.", content={JSON_CONTENT: _FAILURE})
_REFUSALS: Final = dict.fromkeys(("400", "403", "404", "406", "409", "415", "421"), _REFUSED)
_NO_SESSIONS: Final = ResponseDoc(description="The revision that is spoken has no sessions.")
_TAG: Final = "mcp"

_SAID: Final[dict[str, OperationDoc]] = {
    "POST": OperationDoc(
        summary="Send a message of MCP",
        description="A request is answered by a message, or by a stream of them that ends with it.",
        tag=_TAG,
        parameters=_HEADERS,
        request={JSON_CONTENT: _POSTED},
        responses={
            "200": ResponseDoc(
                description="The answer.", content={JSON_CONTENT: _ANSWER, _EVENTS: {}}
            ),
            "202": ResponseDoc(description="Taken: a message that asks for no answer."),
            **_REFUSALS,
        },
        stream=True,
    ),
    "GET": OperationDoc(
        summary="Listen to what a session is told by itself",
        tag=_TAG,
        parameters=_HEADERS,
        responses={
            "200": ResponseDoc(description="Messages as they come.", content={_EVENTS: {}}),
            "405": _NO_SESSIONS,
            **_REFUSALS,
        },
        stream=True,
    ),
    "DELETE": OperationDoc(
        summary="End a session",
        tag=_TAG,
        parameters=_HEADERS,
        responses={
            "200": ResponseDoc(description="It has ended."),
            "204": ResponseDoc(description="It has ended."),
            "405": _NO_SESSIONS,
            **_REFUSALS,
        },
    ),
}


_OLDER: Final[dict[str, OperationDoc]] = {
    "GET": OperationDoc(
        summary="Open a session of MCP 2024-11-05",
        description="Where `mcp.legacy_sse` is on. The first event says where messages are sent.",
        tag=_TAG,
        responses={
            "200": ResponseDoc(description="Messages as they come.", content={_EVENTS: {}}),
            **_REFUSALS,
        },
        stream=True,
    ),
    "POST": OperationDoc(
        summary="Send a message of MCP 2024-11-05",
        description="What answers it goes out on the stream of its session.",
        tag=_TAG,
        parameters=(
            ParameterDoc(
                name="session_id",
                place="query",
                schema=_TEXT,
                description="As the first event of the stream says it.",
            ),
        ),
        request={JSON_CONTENT: _POSTED},
        responses={"202": ResponseDoc(description="Taken."), **_REFUSALS},
    ),
}


def operation_at(method: str, path: str) -> OperationDoc | None:
    """Return what is said of a method of an endpoint."""
    return (_SAID if path == "/mcp" else _OLDER).get(method)
