"""Lists of models as servers of local models give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from spindle_llm.providers.detection import Metadata, described
from spindle_llm.providers.inquiry import require_success
from spindle_llm.providers.openai import MAX_LISTED_MODELS
from spindle_llm.providers.readings import objects_in, text_in
from spindle_llm.providers.urls import join_url
from spindle_spi.errors import GatewayError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from spindle_llm.providers.inquiry import Inquiry, Reply
    from spindle_spi.records import PublishedRecord
    from spindle_spi.types import JsonObject

MAX_ASKED = 64
"""Models that are asked about one by one."""
_AT_ONCE = 4


async def entries_of(inquiry: Inquiry) -> list[JsonObject]:
    """Return the entries of a list of models in OpenAI's form, as they came.

    Raises:
        UpstreamError: There is no such list.
    """
    reply = await inquiry.get(join_url(inquiry.base, "/models"))
    listing = require_success(reply, "its list of models")
    require_list(listing, "data")
    return objects_in(listing, "data")[:MAX_LISTED_MODELS]


async def listed(
    inquiry: Inquiry, provider_type: str, metadata: Callable[[JsonObject], Metadata]
) -> Sequence[PublishedRecord]:
    """Return the records of a list of models in OpenAI's form.

    Raises:
        UpstreamError: There is no such list.
    """
    return recorded(inquiry.provider, provider_type, await entries_of(inquiry), metadata)


def recorded(
    provider: str,
    provider_type: str,
    entries: Iterable[JsonObject],
    metadata: Callable[[JsonObject], Metadata],
    name_in: str = "id",
) -> Sequence[PublishedRecord]:
    """Return the records of listed models, those that are loaded first; each name once."""
    known: dict[str, Metadata] = {}

    for entry in entries:
        name = text_in(entry, name_in)

        if name is not None:
            known.setdefault(name, metadata(entry))

    order = sorted(known, key=lambda name: known[name].state != "loaded")
    return [described(provider, provider_type, name, known[name]) for name in order]


def require_list(listing: JsonObject, name: str) -> None:
    """Refuse what holds no list of models.

    Raises:
        UpstreamError: It holds none.
    """
    if not isinstance(listing.get(name), list):
        raise UpstreamError("The upstream sent no list of models.", code="upstream_garbage")


async def told(question: Awaitable[Reply]) -> JsonObject | None:
    """Return what a question beside the list is answered; None when it is not."""
    try:
        return require_success(await question, "a question")
    except GatewayError:
        return None


async def each(names: Iterable[str], ask: Callable[[str], Awaitable[None]]) -> None:
    """Ask about single models, several at once and a bounded number of them."""
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def one(name: str) -> None:
        async with limiter:
            try:
                await ask(name)
            except GatewayError:
                return

    async with anyio.create_task_group() as group:
        for name in list(names)[:MAX_ASKED]:
            group.start_soon(one, name)
