"""The answers to the protocol's lists, page by page."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from mcp.shared.exceptions import MCPError
from mcp_types.jsonrpc import INVALID_PARAMS

from spindle_mcp.eras import MODERN

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_mcp.offers import Offer
    from spindle_mcp.surface.shelf.views import View
    from spindle_spi.types import Json, JsonObject

PAGE: Final = 1000
"""Items on one page."""

_NAMES: Final = {"resources": "uri", "resourceTemplates": "uriTemplate"}


def listing(
    view: View, version: str, offer: Offer, ttl_ms: int, cursor: str | None = None
) -> JsonObject:
    """Return a page of a view's list of one kind, as a version of the protocol has it.

    Raises:
        MCPError: The cursor is none of ours.
    """
    items = view.listed(version, offer)
    start = 0 if cursor is None else bisect_right(items, _position(cursor), key=_key_of(offer))
    page: list[Json] = [*items[start : start + PAGE]]
    answer: JsonObject = {offer.key: page}

    if start + PAGE < len(items):
        answer["nextCursor"] = _cursor(_key_of(offer)(items[start + PAGE - 1]))

    if version != MODERN:
        return answer

    return {**answer, "resultType": "complete", "ttlMs": ttl_ms, "cacheScope": "private"}


def _key_of(offer: Offer) -> Callable[[JsonObject], str]:
    name = _NAMES.get(offer.key, "name")

    def read(item: JsonObject) -> str:
        return str(item[name])

    return read


def _cursor(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode("utf-8", "surrogatepass")).decode()


def _position(cursor: str) -> str:
    try:
        return base64.b64decode(cursor.encode(), b"-_", validate=True).decode(
            "utf-8", "surrogatepass"
        )
    except (binascii.Error, ValueError) as exc:
        raise MCPError(INVALID_PARAMS, "Invalid cursor") from exc
