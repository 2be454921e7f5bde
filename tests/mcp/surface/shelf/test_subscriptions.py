from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import ResourceUpdatedNotification

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.surface.shelf import subscriptions
from spindle_spi.records import CatalogRecord, Kind, PromptSpec, ResourceSpec, Visibility
from tests.mcp.support.clients import ERAS, connected, subscribe, unsubscribe
from tests.mcp.support.library import PICTURE, README, Library
from tests.mcp.support.records import gateway, logged
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp.client import Client
    from mcp.client.session import MessageHandlerFnT

    from tests.mcp.support.serving import Served

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a"), "b": caller("b")}
UP = "spindle://up/"

eras = pytest.mark.parametrize("era", ERAS)
upstreams = pytest.mark.parametrize("is_legacy_only", [False, True], ids=["from-new", "from-old"])


@dataclass
class Ear:
    """What one client heard, in order, as `resources`, `prompts` or a URI."""

    heard: list[str] = field(default_factory=list[str])
    news: anyio.Event = field(default_factory=anyio.Event)

    def of(self, era: str) -> MessageHandlerFnT | None:
        """Return what hears for it where an era has no streams that are asked for."""
        return self.hear if era == "legacy" else None

    async def hear(self, message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            self.take(message.params.uri)
            return

        name = type(message).__name__

        for kind in ("Tool", "Prompt", "Resource"):
            if name == f"{kind}ListChangedNotification":
                self.take(f"{kind.lower()}s")

    def take(self, word: str) -> None:
        self.heard.append(word)
        self.news.set()

    async def until(self, *words: str) -> None:
        with anyio.fail_after(10):
            while self.heard != list(words):
                await self.news.wait()
                self.news = anyio.Event()


@asynccontextmanager
async def following(
    client: Client, era: str, ear: Ear, *uris: str, lists: bool = True
) -> AsyncGenerator[list[str]]:
    """Follow resources and lists as the era has it; gives what was acknowledged."""
    if era == "legacy":
        for uri in uris:
            await subscribe(client, uri)

        yield list(uris)
        return

    async with (
        client.listen(
            prompts_list_changed=lists, resources_list_changed=lists, resource_subscriptions=uris
        ) as stream,
        anyio.create_task_group() as group,
    ):

        async def hear() -> None:
            async for event in stream:
                uri = getattr(event, "uri", None)
                name = type(event).__name__.removesuffix("ListChanged").lower()
                ear.take(name if uri is None else str(uri))

        group.start_soon(hear)
        yield list(stream.honored.resource_subscriptions or ())
        group.cancel_scope.cancel()


async def until_heard_of(served: Served, count: int) -> None:
    with anyio.fail_after(10):
        while (await served.module.stats())["listeners"] != count:
            await anyio.lowlevel.checkpoint()


@eras
@upstreams
async def test_an_update_of_a_followed_resource_reaches_who_follows_it(
    era: str, is_legacy_only: bool
) -> None:
    """By the URI it has here; whoever follows another hears nothing."""
    library, host, first, second = Library(is_legacy_only=is_legacy_only), FakeHost(), Ear(), Ear()

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era, hear=first.of(era)) as one,
            connected(served.endpoint(), token="b", era=era, hear=second.of(era)) as other,
        ):
            if era == "legacy":
                await until_heard_of(served, 2)

            async with (
                following(one, era, first, f"{UP}{README}") as mine,
                following(other, era, second, f"{UP}{README}", f"{UP}note://a/b") as theirs,
            ):
                assert mine == [f"{UP}{README}"]
                assert theirs == [f"{UP}{README}", f"{UP}note://a/b"]
                await library.until_followed(README, "note://a/b")
                await library.update("note://a/b")
                await second.until(f"{UP}note://a/b")
                await library.until_followed(README, "note://a/b")
                await library.update(README)
                await first.until(f"{UP}{README}")
                await second.until(f"{UP}note://a/b", f"{UP}{README}")


@eras
@upstreams
async def test_the_upstream_follows_for_as_long_as_somebody_does(
    era: str, is_legacy_only: bool
) -> None:
    """Counted: the first to come begins it, the last to go ends it."""
    library, host = Library(is_legacy_only=is_legacy_only), FakeHost()

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS, wait_for=2) as served:
            async with (
                connected(served.endpoint(), era=era) as one,
                connected(served.endpoint(), token="b", era=era) as other,
            ):
                if era == "legacy":
                    await until_heard_of(served, 2)

                async with following(one, era, Ear(), f"{UP}{README}"):
                    await library.until_followed(README)

                    async with following(other, era, Ear(), f"{UP}{README}", f"{UP}{PICTURE}"):
                        await library.until_followed(README, PICTURE)

                        if era == "legacy":
                            await unsubscribe(other, f"{UP}{PICTURE}")
                            await unsubscribe(other, f"{UP}{PICTURE}")
                            await library.until_followed(README)

                    if era != "legacy":
                        await library.until_followed(README)

            # Both have left.
            await library.until_followed()


@eras
async def test_what_a_caller_does_not_see_cannot_be_followed(era: str) -> None:
    """It is refused, or not acknowledged; and what is hidden later is told of no more."""
    library, host, ear = Library(), FakeHost(), Ear()

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era, hear=ear.of(era)) as client,
        ):
            if era == "legacy":
                await until_heard_of(served, 1)

                with pytest.raises(MCPError) as refused:
                    await subscribe(client, f"{UP}none://x")

                assert refused.value.code == -32002

            uris = (f"{UP}{README}", f"{UP}{PICTURE}")
            unseen = (f"{UP}none://x",) if era != "legacy" else ()

            async with following(client, era, ear, *uris, *unseen, lists=False) as honoured:
                assert honoured == list(uris)
                await library.until_followed(README, PICTURE)
                record = host.records.find(Kind.RESOURCE, uris[0])
                assert record is not None
                host.records.add(replace(record, visibility=Visibility.TEAM, team="others"))

                if era == "legacy":
                    await ear.until("resources")
                    ear.heard.clear()

                await library.update(README)
                await library.until_followed(PICTURE)
                await library.update(PICTURE)
                await ear.until(uris[1])


@eras
async def test_each_kind_of_list_is_told_of_when_the_callers_own_changed(era: str) -> None:
    """What is hidden from a caller is no news."""
    library, host, ear = Library(), FakeHost(), Ear()

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era, hear=ear.of(era)) as client,
            following(client, era, ear),
        ):
            await until_heard_of(served, 1)
            prompt = hidden(Kind.PROMPT, PromptSpec(gateway="up", upstream_name="x"))
            resource = hidden(Kind.RESOURCE, ResourceSpec(gateway="up", uri="x"))
            host.records.add(prompt, resource)
            host.records.add(replace(resource, visibility=Visibility.PUBLIC))
            await ear.until("resources")
            host.records.add(replace(prompt, visibility=Visibility.PUBLIC))
            await ear.until("resources", "prompts")


@upstreams
async def test_lists_that_an_upstream_changes_are_read_again(is_legacy_only: bool) -> None:
    """And what changed is told of."""
    library, host, ear = Library(is_legacy_only=is_legacy_only), FakeHost(), Ear()
    config: dict[str, Any] = {"refresh_seconds": 0.2} if is_legacy_only else {}

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2, config=config) as served,
            connected(served.endpoint()) as client,
            following(client, "2026-07-28", ear),
        ):
            await until_heard_of(served, 1)

            with anyio.fail_after(10):
                while not is_legacy_only and not library.followers:
                    await library.news.wait()

            del library.resources[PICTURE]
            await library.change("resources")
            await ear.until("resources")
            listed = [one.uri for one in (await client.list_resources()).resources]
            assert f"{UP}{PICTURE}" not in listed


def hidden(kind: Kind, spec: Any) -> CatalogRecord:
    return CatalogRecord(
        id=f"x-{kind.value}", kind=kind, name="x", module="mcp", spec=spec,
        visibility=Visibility.TEAM, team="others",
    )  # fmt: skip


@eras
async def test_what_one_client_and_all_of_them_may_follow_is_bounded(
    era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is refused, and what was followed stays so."""
    library, host = Library(), FakeHost()

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
            connected(served.endpoint(), token="b", era=era) as other,
        ):
            if era == "legacy":
                await until_heard_of(served, 2)

            monkeypatch.setattr(subscriptions, "MAX_EACH", 1)

            async with following(client, era, Ear(), f"{UP}{README}"):
                assert await refused(client, other, era) == {"mcp.subscriptions.limit"}
                monkeypatch.setattr(subscriptions, "MAX_EACH", 9)
                monkeypatch.setattr(subscriptions, "MAX_ALL", 1)
                assert await refused(client, other, era) == {"mcp.subscriptions.limit"}
                await library.until_followed(README)


async def refused(client: Client, other: Client, era: str) -> set[str]:
    codes = set[str]()

    try:
        async with following(
            client if era == "legacy" else other, era, Ear(), f"{UP}{PICTURE}", f"{UP}note://a/b"
        ):
            raise AssertionError("followed")
    except MCPError as exc:
        codes.add(exc.data["code"])

    return codes


async def test_an_update_of_a_part_is_one_of_the_whole() -> None:
    """So the protocol has it."""
    host, ear = FakeHost(), Ear()
    library = Library(is_legacy_only=True)
    whole = library.resources[README].model_copy(update={"uri": "file:///docs"})
    library.resources["file:///docs"] = whole

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint()) as client,
            following(client, "2026-07-28", ear, f"{UP}file:///docs"),
        ):
            await library.until_followed("file:///docs")
            await library.update("file:///docs/a/b.md")
            await ear.until(f"{UP}file:///docs")


async def test_an_upstream_that_will_not_tell_of_one_tells_of_the_others() -> None:
    """The refusal is logged; who follows is none the worse."""
    host, ear = FakeHost(), Ear()
    library = Library(is_legacy_only=True, tells_of_no_pictures=True)

    async with library.running() as url:
        host.records.add(gateway("up", url=url))
        uris = (f"{UP}{PICTURE}", f"{UP}{README}")

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint()) as client,
            following(client, "2026-07-28", ear, *uris),
        ):
            await library.until_followed(README)
            await library.update(README)
            await ear.until(uris[1])

    assert logged(host, "mcp.gateway.watch_failed")[0]["error"] == "mcp.upstream.protocol_error"


async def test_what_is_followed_is_asked_for_anew_where_a_gateway_has_moved() -> None:
    """Its client need not know that it was."""
    host, ear = FakeHost(), Ear()
    first = Library(is_legacy_only=True)

    async with first.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint()) as client,
            following(client, "2026-07-28", ear, f"{UP}{README}", lists=False),
        ):
            await first.until_followed(README)
            second = Library(is_legacy_only=True)

            async with second.running() as other:
                host.records.add(gateway("up", url=other))
                await second.until_followed(README)
                await second.update(README)
                await ear.until(f"{UP}{README}")
