"""Catalog records in the store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spindle_spi.records import (
    SPEC_OF,
    CatalogRecord,
    ExtensionSpec,
    GatewaySpec,
    Kind,
    ModelSpec,
    PromptSpec,
    ProviderSpec,
    RecordSpec,
    ResourceSpec,
    ResourceTemplateSpec,
    ServerSpec,
    ToolsetSpec,
    ToolSpec,
    Visibility,
)
from spindle_spi.secret import SecretRef
from tests.core.store.opened import opened, provider

SPECS: list[RecordSpec] = [
    ProviderSpec(provider_type="openai", api_key=SecretRef(name="k"), options={"a": [1, None]}),
    ModelSpec(provider="p", upstream_name="m:8b", aliases=("x",), input_price=0.5),
    GatewaySpec(url="http://x", command=("a", "b")),
    ServerSpec(slug="s", gateways=("g",), anonymous=True),
    ToolSpec(gateway="g", upstream_name="t", input_schema={"type": "object"}),
    ResourceSpec(gateway="g", uri="file:///a"),
    ResourceTemplateSpec(gateway="g", uri_template="file:///{a}"),
    PromptSpec(gateway="g", upstream_name="p", arguments=("a",)),
    ToolsetSpec(tools=("a", "b")),
    ExtensionSpec(data={"a": {"b": None}}),
]


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_record_of_any_kind_comes_back_as_it_was_stored(
    database_url: str, kind: Kind
) -> None:
    """Every field but the servers, which are derived, and the epoch, which the store sets."""
    spec = next(spec for spec in SPECS if type(spec) is SPEC_OF[kind])
    record = CatalogRecord(
        id="1",
        kind=kind,
        name="näme",
        spec=spec,
        module="llm",
        description="two\nlines",
        owner="ada@example.org",
        team="red",
        visibility=Visibility.TEAM,
        enabled=False,
        origin="api",
        tags=("a", "b"),
        server_ids=("derived",),
    )

    async with opened(database_url) as store:
        stored = await store.catalog.upsert(record)

        assert stored == replace(record, server_ids=(), epoch=1)
        assert await store.catalog.all() == (stored,)


async def test_replacing_an_origin_touches_only_what_changed(database_url: str) -> None:
    """Unchanged rows keep their epoch; gone ones are deleted; other origins stay."""
    async with opened(database_url) as store:
        await store.catalog.upsert(replace(provider("kept-by-api"), origin="api"))
        assert await store.catalog.replace("config", [provider("a"), provider("b")]) == 2
        before = {record.name: record for record in await store.catalog.all()}

        changed = [provider("a"), provider("b", "http://two"), provider("c")]
        assert await store.catalog.replace("config", changed) == 2
        after = {record.name: record for record in await store.catalog.all()}
        assert after["a"] == before["a"]
        assert after["b"].epoch > before["b"].epoch
        assert after["kept-by-api"] == before["kept-by-api"]

        assert await store.catalog.replace("config", []) == 3
        assert [record.name for record in await store.catalog.all()] == ["kept-by-api"]


async def test_replacing_with_the_same_records_writes_nothing(database_url: str) -> None:
    """A restart with the same configuration is no change: the revision stays."""
    async with opened(database_url) as store:
        await store.catalog.replace("config", [provider("a")])
        revision = await store.revision()

        assert await store.catalog.replace("config", [provider("a")]) == 0
        assert await store.revision() == revision


async def test_a_record_taken_over_keeps_its_id(database_url: str) -> None:
    """What refers to the record by id goes on finding it when the configuration declares it."""
    async with opened(database_url) as store:
        await store.catalog.upsert(replace(provider("a"), id="given-by-api", origin="api"))
        await store.catalog.replace("config", [provider("a")])

        (record,) = await store.catalog.all()
        assert (record.id, record.origin) == ("given-by-api", "config")


async def test_an_epoch_never_comes_back(database_url: str) -> None:
    """A record deleted and made again is not mistaken for the one before."""
    async with opened(database_url) as store:
        first = await store.catalog.upsert(provider("a"))
        assert await store.catalog.upsert(provider("a")) == first
        assert await store.catalog.delete(Kind.PROVIDER, "a")
        assert not await store.catalog.delete(Kind.PROVIDER, "a")
        again = await store.catalog.upsert(provider("a"))

        assert again.epoch > first.epoch
        assert await store.revision() == again.epoch


async def test_one_name_may_stand_once_in_each_kind(database_url: str) -> None:
    """Kinds have names of their own."""
    gateway = CatalogRecord(id="2", kind=Kind.GATEWAY, name="a", spec=GatewaySpec())

    async with opened(database_url) as store:
        await store.catalog.upsert(provider("a"))
        await store.catalog.upsert(gateway)

        assert [record.kind for record in await store.catalog.all()] == [
            Kind.GATEWAY,
            Kind.PROVIDER,
        ]
