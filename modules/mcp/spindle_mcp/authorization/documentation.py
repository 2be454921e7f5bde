"""What the routes of this folder say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_spi.operation import JSON_CONTENT, OperationDoc, ParameterDoc, ResponseDoc

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

_TAG: Final = "mcp"
_TEXT: Final[JsonObject] = {"type": "string"}
_TEXTS: Final[JsonObject] = {"type": "array", "items": _TEXT}
_RESOURCE: Final[JsonObject] = {
    "title": "ProtectedResource",
    "type": "object",
    "properties": {
        "resource": _TEXT,
        "authorization_servers": _TEXTS,
        "scopes_supported": _TEXTS,
        "bearer_methods_supported": _TEXTS,
        "resource_name": _TEXT,
    },
    "required": ["resource", "authorization_servers"],
}


def metadata_said() -> OperationDoc:
    """Return what is said of the places of the metadata."""
    return OperationDoc(
        summary="Protected-resource metadata of an endpoint",
        description="RFC 9728. There is none where no identity provider is configured.",
        tag=_TAG,
        responses={
            "200": ResponseDoc(
                description="Who vouches for callers here.", content={JSON_CONTENT: _RESOURCE}
            )
        },
        refusals=(404,),
    )


_GRANT: Final[JsonObject] = {
    "type": "object",
    "properties": {
        "gateway": _TEXT,
        "created_at": {"type": "number"},
        "updated_at": {"type": "number"},
    },
    "required": ["gateway", "created_at", "updated_at"],
}
_GRANT_LIST: Final[JsonObject] = {
    "title": "Grants",
    "type": "object",
    "properties": {"data": {"type": "array", "items": _GRANT}},
    "required": ["data"],
}
BEGIN: Final = OperationDoc(
    summary="Let a gateway act for you",
    description="Leads the browser to the gateway's authorization server.",
    tag=_TAG,
    responses={"302": ResponseDoc(description="There the person says yes or no.")},
    refusals=(400, 404, 502),
)
FINISH: Final = OperationDoc(
    summary="Come back from an authorization server",
    description="Ends what the same caller began, once.",
    tag=_TAG,
    parameters=tuple(
        ParameterDoc(name=name, schema=_TEXT) for name in ("state", "code", "iss", "error")
    ),
    responses={"200": ResponseDoc(description="It is done.", content={"text/html": _TEXT})},
    refusals=(400, 403, 502),
)
GRANTS: Final = OperationDoc(
    summary="List the gateways that may act for you",
    description="Without tokens; times in seconds since the epoch.",
    tag=_TAG,
    responses={"200": ResponseDoc(description="Your grants.", content={JSON_CONTENT: _GRANT_LIST})},
    refusals=(400,),
)
REVOKE: Final = OperationDoc(
    summary="Let a gateway act for you no longer",
    tag=_TAG,
    responses={"204": ResponseDoc(description="It is gone.")},
    refusals=(400, 404),
)
DOCUMENT_SAID: Final = OperationDoc(
    summary="The gateway as a client of authorization servers",
    description="A client metadata document. There is none where server.public_url is not set.",
    tag=_TAG,
    responses={"200": ResponseDoc(description="It.", content={JSON_CONTENT: {"type": "object"}})},
    refusals=(404,),
)
