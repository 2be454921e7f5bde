"""What the routes of this folder say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_spi.operation import JSON_CONTENT, OperationDoc, ResponseDoc

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
