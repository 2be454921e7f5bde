"""JSON-RPC messages as the bridge looks at them: their kind, their era, the headers they need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
    find_invalid_x_mcp_header,
    mcp_param_headers,
    x_mcp_header_map,
)
from mcp_types import PROTOCOL_VERSION_META_KEY
from mcp_types.jsonrpc import INTERNAL_ERROR

from spindle_mcp.text import encode

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

SESSION_HEADER: Final = "mcp-session-id"
HeaderMaps = dict[str, dict[tuple[str, ...], str]]


@dataclass(slots=True)
class Dialogue:
    """What the bridge has to remember of a conversation."""

    session_id: str | None = None
    version: str | None = None
    """Of a conversation that began with `initialize`."""
    header_maps: HeaderMaps = field(default_factory=HeaderMaps)
    """Arguments that tools want mirrored into headers, as the lists that passed by said."""

    def headers_for(self, message: JsonObject) -> dict[str, str]:
        """Return the protocol's headers for a message."""
        if modern_version(message) is not None:
            return self._modern_headers(message)

        headers: dict[str, str] = {}

        if message.get("method") == "initialize":
            return headers

        if self.session_id is not None:
            headers[SESSION_HEADER] = self.session_id

        if self.version is not None:
            headers[MCP_PROTOCOL_VERSION_HEADER] = self.version

        return headers

    def learn(self, result: Json) -> None:
        """Look at a result that passes by for what later requests need."""
        if not isinstance(result, dict):
            return

        version, tools = result.get("protocolVersion"), result.get("tools")

        if isinstance(version, str):
            self.version = version

        if isinstance(tools, list):
            self.header_maps |= _header_maps(tools)

    def _modern_headers(self, message: JsonObject) -> dict[str, str]:
        method, params = message.get("method"), message.get("params")
        version = modern_version(message)
        headers = {MCP_PROTOCOL_VERSION_HEADER: version or "", MCP_METHOD_HEADER: str(method)}
        name_key = NAME_BEARING_METHODS.get(str(method))

        if name_key is None or not isinstance(params, dict):
            return headers

        name, arguments = params.get(name_key), params.get("arguments")

        if isinstance(name, str):
            headers[MCP_NAME_HEADER] = encode_header_value(name)

            if method == "tools/call" and isinstance(arguments, dict):
                headers |= mcp_param_headers(self.header_maps.get(name, {}), arguments)

        return headers


def modern_version(message: JsonObject) -> str | None:
    """Return the version in a message's own envelope; before 2026 there is none."""
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    version = meta.get(PROTOCOL_VERSION_META_KEY) if isinstance(meta, dict) else None
    # The handshake does not exist with an envelope, whatever a client stamps on it.
    is_enveloped = isinstance(version, str) and message.get("method") != "initialize"
    return version if is_enveloped and isinstance(version, str) else None


def is_request(message: JsonObject) -> bool:
    """Tell whether a message wants an answer."""
    return "method" in message and "id" in message


def answers(message: JsonObject, request_id: Json) -> bool:
    """Tell whether a message is the answer to a request."""
    return "method" not in message and message.get("id") == request_id


def failure(request_id: Json, text: str, code: int = INTERNAL_ERROR) -> bytes:
    """Return an error answer of the bridge's own."""
    return encode({"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": text}})


def listing_of(message: JsonObject) -> JsonObject:
    """Return a request for the list of tools, in the envelope of another request."""
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    kept: JsonObject = (
        {key: value for key, value in meta.items() if key != "progressToken"}
        if isinstance(meta, dict)
        else {}
    )
    return {
        "jsonrpc": "2.0",
        "id": "spindle-tools",
        "method": "tools/list",
        "params": {"_meta": kept},
    }


def _header_maps(tools: list[Json]) -> HeaderMaps:
    maps: HeaderMaps = {}

    for tool in tools:
        name = tool.get("name") if isinstance(tool, dict) else None
        schema = tool.get("inputSchema") if isinstance(tool, dict) else None

        if isinstance(name, str) and find_invalid_x_mcp_header(schema) is None:
            maps[name] = x_mcp_header_map(schema)

    return maps
