"""References to resources inside what an upstream writes, as the endpoint that shows it means them.

A tool names its user interface, a result links to resources: what says the upstream's own URI there
would lead nowhere on an endpoint that shows scoped ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_mcp.uris import APP, scoped

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_spi.types import Json, JsonObject

_FLAT: Final = ("ui/resourceUri", "openai/outputTemplate")
"""Members of `_meta` that name a tool's user interface, beside `ui.resourceUri`."""
_WEB: Final = ("https://", "http://")
_REFERRING: Final = frozenset({"resource", "resource_link"})


def scoped_meta(gateway: str, meta: Json) -> Json:
    """Return a `_meta` whose user interface is named as the gateway's."""
    if not isinstance(meta, dict):
        return meta

    changed: JsonObject = {}

    for name in _FLAT:
        uri = meta.get(name)

        if isinstance(uri, str) and uri.startswith(APP):
            changed[name] = scoped(gateway, uri)

    shown = meta.get("ui")
    uri = shown.get("resourceUri") if isinstance(shown, dict) else None

    if isinstance(shown, dict) and isinstance(uri, str) and uri.startswith(APP):
        changed["ui"] = {**shown, "resourceUri": scoped(gateway, uri)}

    return {**meta, **changed} if changed else meta


def scoped_result(
    gateway: str, result: JsonObject, is_known: Callable[[str], bool] | None = None
) -> JsonObject:
    """Return a result of a tool, a prompt or a reading with the gateway's URIs in place of its own.

    A web address in a link stays one unless the resource is known here, by its scoped URI.
    """
    changed: JsonObject = {}
    content, messages = result.get("content"), result.get("messages")
    contents, meta = result.get("contents"), result.get("_meta")

    if isinstance(content, list) and any(map(_is_referring, content)):
        changed["content"] = [_part(gateway, part, is_known) for part in content]

    if isinstance(messages, list):
        changed["messages"] = [_message(gateway, one, is_known) for one in messages]

    if isinstance(contents, list):
        changed["contents"] = [_read(gateway, part) for part in contents]

    if meta is not None and (fresh := scoped_meta(gateway, meta)) is not meta:
        changed["_meta"] = fresh

    return {**result, **changed} if changed else result


def _is_referring(part: Json) -> bool:
    return isinstance(part, dict) and part.get("type") in _REFERRING


def _message(gateway: str, message: Json, is_known: Callable[[str], bool] | None) -> Json:
    content = message.get("content") if isinstance(message, dict) else None

    if not isinstance(message, dict) or not _is_referring(content):
        return message

    return {**message, "content": _part(gateway, content, is_known)}


def _part(gateway: str, part: Json, is_known: Callable[[str], bool] | None) -> Json:
    if not isinstance(part, dict) or not _is_referring(part):
        return part

    inner = part.get("resource")

    if isinstance(inner, dict):
        return {**part, "resource": _read(gateway, inner)}

    uri = part.get("uri")

    if not isinstance(uri, str):
        return part

    name = scoped(gateway, uri)
    is_web = uri.startswith(_WEB) and (is_known is None or not is_known(name))
    return part if is_web else {**part, "uri": name}


def _read(gateway: str, contents: Json) -> Json:
    uri = contents.get("uri") if isinstance(contents, dict) else None

    if not isinstance(contents, dict) or not isinstance(uri, str):
        return contents

    return {**contents, "uri": scoped(gateway, uri)}
