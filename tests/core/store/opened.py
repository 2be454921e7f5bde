"""An open store in a temporary directory, and rows for it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from spindle.store import Store, TokenRow, UsageRow
from spindle_spi.records import CatalogRecord, Kind, ProviderSpec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


def url_of(path: Path) -> str:
    """Return the URL of the database in a directory."""
    return f"sqlite+aiosqlite:///{path}/spindle.db"


@asynccontextmanager
async def opened(place: Path | str) -> AsyncGenerator[Store, None]:
    """Give the store of a directory, or at a URL."""
    store = await Store.open(place if isinstance(place, str) else url_of(place))

    try:
        yield store
    finally:
        await store.close()


def token(name: str, *, created_at: float = 1.0) -> TokenRow:
    """Return a token with everything derived from its name."""
    return TokenRow(
        id=f"id-{name}",
        name=name,
        prefix=f"spn_{name}",
        hash=f"hash-{name}",
        created_at=created_at,
    )


def provider(name: str, url: str = "http://one") -> CatalogRecord:
    """Return a provider record."""
    return CatalogRecord(
        id=f"id-{name}",
        kind=Kind.PROVIDER,
        name=name,
        spec=ProviderSpec(provider_type="openai", urls=(url,)),
        origin="config",
    )


def usage(number: int) -> UsageRow:
    """Return a usage row."""
    return UsageRow(
        id=f"pm_{number}",
        at=1.0 + number,
        request_id=f"req_{number}",
        token_id="tok",
        user_email=None,
        team=None,
        kind="model",
        record="mock~echo",
        backend="mock",
        served_by=None,
        action="execute",
        status="ok",
        stream=False,
        input_tokens=3,
        output_tokens=4,
        cache_read_tokens=0,
        cache_write_tokens=0,
        reasoning_tokens=0,
        estimated=False,
        cost_usd=None,
        total_ms=1.5,
        first_byte_ms=None,
        error_code=None,
    )
