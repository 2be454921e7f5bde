"""Anthropic's list of models, page by page, as records."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from spindle_llm.providers.inquiry import require_success
from spindle_llm.providers.urls import join_url
from spindle_spi.errors import UpstreamError
from spindle_spi.records import Kind, ModelSpec, PublishedRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_llm.providers.inquiry import Inquiry
    from spindle_spi.types import Json, JsonObject

_PAGE: Final = 1000
_MAX_PAGES: Final = 4
_CHAT: Final = ("chat", "streaming", "function_calling")


async def listed_models(inquiry: Inquiry) -> Sequence[PublishedRecord]:
    """Return every model of a provider.

    Raises:
        UpstreamError: It does not answer, or sends no list of models.
    """
    records: list[PublishedRecord] = []
    first = join_url(inquiry.base, f"/models?limit={_PAGE}")
    url = first

    for _ in range(_MAX_PAGES):
        page = require_success(await inquiry.get(url), "its list of models")
        entries = page.get("data")

        if not isinstance(entries, list):
            raise UpstreamError("The upstream's list of models cannot be read.")

        records += [
            _record(inquiry.provider, entry)
            for entry in entries
            if isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"]
        ]
        last = page.get("last_id")

        if page.get("has_more") is not True or not isinstance(last, str):
            break

        url = f"{first}&after_id={quote(last, safe='')}"

    return records


def _record(provider: str, entry: JsonObject) -> PublishedRecord:
    name = str(entry["id"])
    can = entry.get("capabilities")
    can = can if isinstance(can, dict) else {}
    sees = _is_supported(can.get("image_input"))
    spec = ModelSpec(
        provider=provider,
        upstream_name=name,
        model_type="vlm" if sees else "llm",
        context_window=_count(entry.get("max_input_tokens")),
        max_output_tokens=_count(entry.get("max_tokens")),
        supports=(*_CHAT, "vision") if sees else _CHAT,
        created=_seconds(entry.get("created_at")),
        deprecated=entry.get("lifecycle") in ("deprecated", "retired"),
    )
    title = entry.get("display_name")
    return PublishedRecord(
        kind=Kind.MODEL,
        name=f"{provider}~{name}",
        spec=spec,
        description=title if isinstance(title, str) else "",
    )


def _is_supported(capability: Json) -> bool:
    return isinstance(capability, dict) and capability.get("supported") is True


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _seconds(value: Json) -> int:
    if not isinstance(value, str):
        return 0

    try:
        return max(0, int(datetime.fromisoformat(value).timestamp()))
    except (ValueError, OverflowError):
        return 0
