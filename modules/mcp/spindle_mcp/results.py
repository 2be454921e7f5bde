"""What upstreams answer when resources are read, prompts rendered and arguments completed.

The neutral payload of each (see `Invocation`), and how a version of the protocol writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp_types import SERVER_INFO_META_KEY

from spindle_mcp.eras import MODERN, for_wire
from spindle_spi.errors import UpstreamError
from spindle_spi.invocation import InputRequired

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

READ: Final = "resources/read"
GET: Final = "prompts/get"
COMPLETE: Final = "completion/complete"

MAX_COMPLETIONS: Final = 100
"""Values the protocol allows in one answer."""
_NEEDED: Final = {
    "text": ("text",),
    "image": ("data", "mimeType"),
    "audio": ("data", "mimeType"),
    "resource_link": ("uri", "name"),
}
"""Texts that content of a type has to have."""
_ROLES: Final = frozenset({"user", "assistant"})
_LONGEST_TTL: Final = 24 * 60 * 60 * 1000


def read_result(payload: JsonObject, gateway: str) -> JsonObject:
    """Return an upstream's answer to `resources/read` as `{"contents", "ttlMs"?, "_meta"?}`.

    Raises:
        UpstreamError: It is none.
    """
    contents = payload.get("contents")

    if not isinstance(contents, list) or not all(map(_is_contents, contents)):
        raise _no_result(gateway, "contents of a resource")

    result: JsonObject = {"contents": contents}
    ttl = payload.get("ttlMs")

    if isinstance(ttl, int) and not isinstance(ttl, bool) and ttl > 0:
        result["ttlMs"] = min(ttl, _LONGEST_TTL)

    return _with_meta(result, payload)


def prompt_result(payload: JsonObject, gateway: str) -> JsonObject:
    """Return an upstream's answer to `prompts/get` as `{"messages", "description"?, "_meta"?}`.

    Raises:
        UpstreamError: It is none.
    """
    messages = payload.get("messages")

    if not isinstance(messages, list) or not all(map(_is_message, messages)):
        raise _no_result(gateway, "messages of a prompt")

    result: JsonObject = {"messages": messages}
    description = payload.get("description")

    if isinstance(description, str):
        result["description"] = description

    return _with_meta(result, payload)


def completion_result(payload: JsonObject, gateway: str) -> JsonObject:
    """Return an upstream's answer to `completion/complete`: `{"completion": {"values", …}}`.

    Raises:
        UpstreamError: It is none.
    """
    completion = payload.get("completion")
    values = completion.get("values") if isinstance(completion, dict) else None

    if not isinstance(completion, dict) or not isinstance(values, list):
        raise _no_result(gateway, "completions")

    texts: list[Json] = [value for value in values if isinstance(value, str)]

    if len(texts) != len(values):
        raise _no_result(gateway, "completions")

    kept: JsonObject = {"values": texts[:MAX_COMPLETIONS]}
    total, more = completion.get("total"), completion.get("hasMore")

    if isinstance(total, int) and not isinstance(total, bool) and total >= 0:
        kept["total"] = total

    if isinstance(more, bool) or len(texts) > MAX_COMPLETIONS:
        kept["hasMore"] = more is True or len(texts) > MAX_COMPLETIONS

    return _with_meta({"completion": kept}, payload)


def on_wire(method: str, version: str, result: JsonObject | InputRequired) -> JsonObject:
    """Return a neutral result of one of these methods as a version of the protocol has it.

    Raises:
        UpstreamError: It asks for input, and this version has no such result.
    """
    if isinstance(result, InputRequired):
        return for_wire(version, result)

    if version == MODERN:
        hints: JsonObject = {"ttlMs": 0, "cacheScope": "private"} if method == READ else {}
        return {**hints, **result, "resultType": "complete"}

    return {name: value for name, value in result.items() if name != "ttlMs"}


def _is_contents(part: Json) -> bool:
    if not isinstance(part, dict) or not isinstance(part.get("uri"), str):
        return False

    if not isinstance(part.get("mimeType"), str | None):
        return False

    return isinstance(part.get("text"), str) or isinstance(part.get("blob"), str)


def _is_message(message: Json) -> bool:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        return False

    content = message.get("content")

    if not isinstance(content, dict):
        return False

    if content.get("type") == "resource":
        return _is_contents(content.get("resource"))

    needed = _NEEDED.get(str(content.get("type")))
    return needed is not None and all(isinstance(content.get(name), str) for name in needed)


def _with_meta(result: JsonObject, payload: JsonObject) -> JsonObject:
    meta = payload.get("_meta")

    if isinstance(meta, dict):
        # Who served the upstream's answer is not who serves ours.
        kept = {name: value for name, value in meta.items() if name != SERVER_INFO_META_KEY}

        if kept:
            result["_meta"] = kept

    return result


def _no_result(gateway: str, what: str) -> UpstreamError:
    return UpstreamError(
        f"The gateway {gateway!r} answered with something that is no {what}.",
        code="mcp.upstream.invalid_result",
        retryable=False,
    )
