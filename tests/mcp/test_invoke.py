"""Other modules read and render through the core: their calls enter at the upstream."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.errors import InvalidArgument, NotFound
from spindle_spi.invocation import Complete, Invocation
from spindle_spi.plugin import HookPhase
from spindle_spi.records import CatalogRecord, Kind, PromptSpec, ResourceSpec, Target, Visibility
from tests.mcp.support.clients import connected
from tests.mcp.support.library import NOTES, README, Library
from tests.mcp.support.other import Other
from tests.mcp.support.records import Word, gateway
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a")}
UP = "spindle://up/"


@asynccontextmanager
async def library(host: FakeHost) -> AsyncGenerator[Library]:
    upstream = Library()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS, wait_for=2):
            yield upstream


async def invoked(host: FakeHost, kind: Kind, name: str, arguments: JsonObject) -> Any:
    result = await host.services_for("other").catalog.invoke(
        caller("a"), Invocation(target=Target(kind=kind, name=name), arguments=arguments)
    )
    assert isinstance(result, Complete)
    return result.payload


async def test_a_resource_is_read_by_its_name_here() -> None:
    """Its URI may be said, too; another's may not."""
    host = FakeHost()

    async with library(host) as upstream:
        name = f"{UP}{README}"
        expected = {"uri": name, "mimeType": "text/plain", "text": f"text of {README}"}
        assert await invoked(host, Kind.RESOURCE, name, {}) == {"contents": [expected]}
        assert await invoked(host, Kind.RESOURCE, name, {"uri": name}) == {"contents": [expected]}

        with pytest.raises(InvalidArgument):
            await invoked(host, Kind.RESOURCE, name, {"uri": f"{UP}note://a/b"})

        assert [params["uri"] for _, params in upstream.asked] == [README, README]

    assert [admitted.module for admitted in host.journal.admitted] == [""] * 3


async def test_a_template_is_read_by_a_uri_it_stands_for() -> None:
    """And by no other, nor by one that is somebody else's record and hidden."""
    host = FakeHost()
    name = f"{UP}{NOTES}"

    async with library(host):
        payload = await invoked(host, Kind.RESOURCE_TEMPLATE, name, {"uri": f"{UP}note://a/b"})
        assert payload["contents"][0]["uri"] == f"{UP}note://a/b"

        for uri in (None, 7, "note://a/b", f"{UP}note://a", "spindle://other/note://a/b"):
            with pytest.raises(InvalidArgument):
                await invoked(host, Kind.RESOURCE_TEMPLATE, name, {"uri": uri})


async def test_what_is_hidden_is_not_read_through_a_template() -> None:
    """For other modules as for clients."""
    host, upstream = FakeHost(), Library()
    secret = "note://a/secret"
    upstream.resources[secret] = upstream.resources[README].model_copy(update={"uri": secret})

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS, wait_for=2):
            record = host.records.find(Kind.RESOURCE, f"{UP}{secret}")
            assert record is not None
            host.records.add(replace(record, visibility=Visibility.TEAM, team="others"))

            with pytest.raises(NotFound):
                await invoked(
                    host, Kind.RESOURCE_TEMPLATE, f"{UP}{NOTES}", {"uri": f"{UP}{secret}"}
                )


async def test_a_prompt_is_rendered_with_arguments_and_judged_by_the_core() -> None:
    """This module runs no hooks for it."""
    host = FakeHost()
    host.plugins.append(Word("bees", "wasps", HookPhase.PRE_FETCH, HookPhase.POST_FETCH))

    async with library(host) as upstream:
        payload = await invoked(host, Kind.PROMPT, "up__summary", {"arguments": {"topic": "bees"}})
        assert payload["messages"][0]["content"]["text"] == "Sum up wasps."
        assert payload["messages"][1]["content"]["resource"]["uri"] == f"{UP}{README}"
        await invoked(host, Kind.PROMPT, "up__summary", {})
        assert [params for _, params in upstream.asked] == [
            {"name": "summary", "arguments": {"topic": "wasps"}},
            {"name": "summary"},
        ]

        with pytest.raises(InvalidArgument):
            await invoked(host, Kind.PROMPT, "up__summary", {"arguments": []})


async def test_a_tools_links_are_named_as_they_are_here() -> None:
    """So that they can be read by whoever got them."""
    host = FakeHost()

    async with library(host):
        payload = await invoked(host, Kind.TOOL, "up__links", {})

    assert [part.get("uri") for part in payload["content"]] == [
        f"{UP}{README}", "https://example.com/page", None,
    ]  # fmt: skip


async def test_what_another_module_serves_goes_through_the_core() -> None:
    """Its resources and prompts are shown by the names it gave them."""
    host = FakeHost([replace(gateway("theirs"), module="other")])
    host.owners["other"] = Other()

    for kind, spec in (
        (Kind.RESOURCE, ResourceSpec(gateway="theirs", uri="a://b")),
        (Kind.PROMPT, PromptSpec(gateway="theirs", upstream_name="p")),
    ):
        host.records.add(
            CatalogRecord(
                id=f"o-{kind.value}",
                kind=kind,
                name="other-one",
                module="other",
                spec=spec,
                visibility=Visibility.PUBLIC,
            )  # fmt: skip
        )

    async with (
        serving(host, CALLERS) as served,
        connected(served.endpoint(), era="legacy") as client,
    ):
        read = await client.read_resource("other-one")
        assert read.contents[0].uri == "a://b"
        got: Any = await client.get_prompt("other-one", {})
        assert got.messages[0].content.text == "said"
        assert len(host.journal.invoked) == 2

    assert not host.open_leases
