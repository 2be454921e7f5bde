"""Lists in pages: an opaque cursor after the last item shown, never a number of rows to skip."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Final, TypeVar

from spindle.api.texts import is_storable
from spindle_spi.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from spindle.api.request import Request
    from spindle_spi.types import Json, JsonObject

PAGE_KEYS: Final = ("cursor", "limit")
"""Query parameters of every list."""

_DEFAULT, _MOST = 50, 500
_NUMBER: Final = re.compile(r"[0-9]{1,6}")

T = TypeVar("T")


def page_limit(request: Request) -> int:
    """Return how many items a page has.

    Raises:
        InvalidArgument: It is no number from 1 to 500.
    """
    text = request.query.get("limit", str(_DEFAULT))

    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= _MOST:
        raise InvalidArgument(f"limit: expected a whole number from 1 to {_MOST}.")

    return int(text)


def read_cursor(request: Request) -> str | None:
    """Return the key after which the page starts; None for the first page.

    Raises:
        InvalidArgument: The cursor is none of ours.
    """
    text = request.query.get("cursor")

    if not text:
        return None

    try:
        key = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        key = None

    if not isinstance(key, str) or not is_storable(key):
        raise InvalidArgument("cursor: expected a `next_cursor` of an earlier page.")

    return key


def make_cursor(key: str) -> str:
    """Return the opaque form of a key."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def paged(
    request: Request,
    items: Iterable[T],
    *,
    key: Callable[[T], str],
    show: Callable[[T], Json],
) -> JsonObject:
    """Return one page of items that are in memory: `{"items": […], "next_cursor": … | null}`."""
    limit, after = page_limit(request), read_cursor(request)
    ordered = sorted(items, key=key)
    rest = ordered if after is None else [item for item in ordered if key(item) > after]
    return page_of(rest[: limit + 1], limit, key=key, show=show)


def page_of(
    rows: Sequence[T], limit: int, *, key: Callable[[T], str], show: Callable[[T], Json]
) -> JsonObject:
    """Return a page of rows read in order, one more than fit: that one says there is another."""
    shown = rows[:limit]
    more = len(rows) > limit
    return {
        "items": [show(row) for row in shown],
        "next_cursor": make_cursor(key(shown[-1])) if more and shown else None,
    }
