"""The same table for what is read, rendered, completed and followed."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp_types import PromptReference

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.admission import Status
from tests.mcp.matrix.test_matrix import cells
from tests.mcp.support.clients import connected, subscribe
from tests.mcp.support.library import PICTURE, README, Library
from tests.mcp.support.records import gateway
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from mcp.client import Client

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a")}
SHOWN = f"spindle://up/{README}"


class Reader:
    """A client, its upstream and its host, and what the client heard by itself."""

    def __init__(self, client_era: str, upstream_era: str) -> None:
        self.era = "2026-07-28" if client_era == "modern" else "legacy"
        self.library = Library(is_legacy_only=upstream_era == "legacy")
        self.upstream_era = upstream_era
        self.host = FakeHost()
        self.heard: set[str] = set()
        self.news = anyio.Event()

    @asynccontextmanager
    async def reading(self, *, accelerated: bool) -> AsyncGenerator[Client]:
        async with self.library.running() as url:
            self.host.records.add(gateway("up", url=url, era=self.upstream_era))

            async with (
                serving(
                    self.host, CALLERS, wait_for=2, config={"accelerated": accelerated}
                ) as served,
                connected(served.endpoint(), era=self.era, hear=self._hear) as client,
            ):
                with anyio.fail_after(10):
                    while self.era == "legacy" and not (await served.module.stats())["listeners"]:
                        await anyio.lowlevel.checkpoint()

                yield client

    @asynccontextmanager
    async def following(self, client: Client, uris: Sequence[str] = ()) -> AsyncGenerator[None]:
        """Follow resources, and the list of them."""
        async with AsyncExitStack() as stack:
            if self.era == "legacy":
                for uri in uris:
                    await subscribe(client, uri)
            else:
                await stack.enter_async_context(
                    client.listen(resources_list_changed=True, resource_subscriptions=uris)
                )

            yield

    async def until(self, word: str) -> None:
        """Wait until the client heard something."""
        with anyio.fail_after(10):
            while word not in self.heard:
                await self.news.wait()
                self.news = anyio.Event()

    async def _hear(self, message: object) -> None:
        params: Any = getattr(message, "params", None)
        self.heard.add(getattr(params, "uri", None) or type(message).__name__)
        self.news.set()


@cells("resource")
async def test_resource(client_era: str, upstream_era: str, accelerated: bool) -> None:
    reader = Reader(client_era, upstream_era)

    async with reader.reading(accelerated=accelerated) as client:
        result: Any = await client.read_resource(SHOWN)

    assert result.contents[0].text == f"text of {README}"
    assert reader.host.outcome.status is Status.OK


@cells("prompt")
async def test_prompt(client_era: str, upstream_era: str, accelerated: bool) -> None:
    reader = Reader(client_era, upstream_era)

    async with reader.reading(accelerated=accelerated) as client:
        result: Any = await client.get_prompt("up__summary", {"topic": "bees"})

    assert result.messages[0].content.text == "Sum up bees."


@cells("complete")
async def test_complete(client_era: str, upstream_era: str, accelerated: bool) -> None:
    reader = Reader(client_era, upstream_era)

    async with reader.reading(accelerated=accelerated) as client:
        ref = PromptReference(name="up__summary")
        found = await client.complete(ref, {"name": "topic", "value": "b"})

    assert found.completion.values == ["b0", "b1", "b2"]


@cells("list_changed")
async def test_list_changed(client_era: str, upstream_era: str, accelerated: bool) -> None:
    reader = Reader(client_era, upstream_era)

    async with (
        reader.reading(accelerated=accelerated) as client,
        reader.following(client),
    ):
        with anyio.fail_after(10):
            while upstream_era == "modern" and not reader.library.followers:
                await reader.library.news.wait()

        del reader.library.resources[PICTURE]
        await reader.library.change("resources")
        await reader.until("ResourceListChangedNotification")
        assert len((await client.list_resources()).resources) == 2


@cells("subscribe")
async def test_subscribe(client_era: str, upstream_era: str, accelerated: bool) -> None:
    reader = Reader(client_era, upstream_era)

    async with (
        reader.reading(accelerated=accelerated) as client,
        reader.following(client, [SHOWN]),
    ):
        await reader.library.until_followed(README)
        await reader.library.update(README)
        await reader.until(SHOWN)
