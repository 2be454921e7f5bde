"""The catalog's transactions on both engines, from two processes' worth of stores."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from spindle.store import Store
from spindle.store.catalog import Amendment, Contents
from spindle_spi.records import CatalogRecord, Kind, ModelFacts, ModelSpec, ProviderSpec

PROVIDER = CatalogRecord(
    id="p", kind=Kind.PROVIDER, name="p", spec=ProviderSpec(provider_type="mock")
)
MODEL = CatalogRecord(
    id="m",
    kind=Kind.MODEL,
    name="p~m",
    spec=ModelSpec(provider="p", upstream_name="m", facts=ModelFacts(size=8_000_000_000)),
)


async def test_two_stores_lose_no_update_of_each_other(database_url: str) -> None:
    """What is decided on is what is stored, whoever else is writing."""
    stores = [await Store.open(database_url) for _ in range(2)]

    try:
        await stores[0].catalog.replace("api", [PROVIDER, MODEL])

        async def add(store: Store, mark: str) -> None:
            def decide(contents: Contents) -> Amendment:
                (model,) = [record for record in contents.records if record.id == "m"]
                return Amendment(records={"m": replace(model, tags=(*model.tags, mark))})

            await store.catalog.amend(decide)

        async with anyio.create_task_group() as group:
            for number in range(10):
                for name, store in zip("ab", stores, strict=True):
                    group.start_soon(add, store, f"{name}{number}")

        (model,) = [record for record in await stores[1].catalog.all() if record.id == "m"]
        assert sorted(model.tags) == sorted(f"{name}{n}" for n in range(10) for name in "ab")
    finally:
        for store in stores:
            await store.close()


async def test_a_decision_that_is_refused_writes_nothing(database_url: str) -> None:
    """Neither a record nor a revision."""
    store = await Store.open(database_url)

    class Refused(Exception):
        """Somebody said no."""

    def refuse(contents: Contents) -> Amendment:
        assert contents == Contents()
        raise Refused

    try:
        before = await store.revision()

        with pytest.raises(Refused):
            await store.catalog.amend(refuse)

        assert await store.revision() == before
    finally:
        await store.close()
