from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import BlobResourceContents, TextResourceContents

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.admission import Status
from spindle_spi.plugin import HookPhase
from spindle_spi.records import Kind, Visibility
from tests.mcp.support.clients import ERAS, connected
from tests.mcp.support.library import APP, NOTES, PICTURE, README, Library
from tests.mcp.support.records import Word, gateway, server
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from mcp.client import Client

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a")}
FETCH = (HookPhase.PRE_FETCH, HookPhase.POST_FETCH)
UP = "spindle://up/"
SHOWN = [f"{UP}{README}", f"{UP}{PICTURE}", "ui://up/clock/main.html"]


@pytest.fixture(autouse=True, params=[True, False], ids=["short", "long"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Every test here holds for both ways of a request."""
    accelerated = bool(request.param)
    monkeypatch.setattr("tests.mcp.support.serving.ACCELERATED", accelerated)
    return accelerated


eras = pytest.mark.parametrize("era", ERAS)
upstreams = pytest.mark.parametrize("is_legacy_only", [False, True], ids=["from-new", "from-old"])


async def text_at(client: Client, uri: str) -> str:
    result = await client.read_resource(uri)
    (part,) = result.contents
    assert isinstance(part, TextResourceContents)
    assert part.uri == uri
    return part.text


async def refusal(client: Client, uri: str) -> MCPError:
    try:
        result = await client.read_resource(uri)
    except MCPError as exc:
        return exc

    raise AssertionError(f"no error, but {result}")


async def until_there(host: FakeHost, kind: Kind, name: str) -> None:
    feed = host.records.feed([kind])

    with anyio.fail_after(10):
        while host.records.find(kind, name) is None:
            await anext(feed)


@eras
@upstreams
async def test_resources_and_templates_are_listed_and_read_by_scoped_uris(
    era: str, is_legacy_only: bool
) -> None:
    """All four pairs of eras; icons, annotations and `_meta` arrive as they were written."""
    library, host = Library(is_legacy_only=is_legacy_only), FakeHost()

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            listed = (await client.list_resources()).resources
            assert [one.uri for one in listed] == SHOWN
            readme = listed[0]
            assert (readme.name, readme.title, readme.mime_type) == (
                "readme", "Read me", "text/markdown",
            )  # fmt: skip
            assert readme.annotations is not None
            assert readme.annotations.priority == 0.5
            assert readme.icons is not None
            assert readme.meta == {"shelf": "front"}

            (template,) = (await client.list_resource_templates()).resource_templates
            assert template.uri_template == f"{UP}{NOTES}"
            assert await text_at(client, SHOWN[0]) == f"text of {README}"
            assert await text_at(client, f"{UP}note://a/b") == "text of note://a/b"
            assert await text_at(client, SHOWN[2]) == f"text of {APP}"
            (blob,) = (await client.read_resource(SHOWN[1])).contents
            assert isinstance(blob, BlobResourceContents)
            assert (blob.blob, blob.uri) == ("aGk=", SHOWN[1])

    assert [params["uri"] for _, params in library.asked] == [README, "note://a/b", APP, PICTURE]
    assert [settled.outcome.status for settled in host.journal.settled] == [Status.OK] * 4
    assert [settled.permit.record.kind for settled in host.journal.settled] == [
        Kind.RESOURCE, Kind.RESOURCE_TEMPLATE, Kind.RESOURCE, Kind.RESOURCE,
    ]  # fmt: skip
    assert host.journal.settled[0].outcome.attempts[0].backend == "up"
    assert not host.open_permits
    assert not host.open_leases


@eras
async def test_two_gateways_with_one_uri_are_told_apart(era: str) -> None:
    """Each has its own, wherever the other came or went."""
    first, second, host = Library(), Library(), FakeHost()

    async with first.running() as one, second.running() as two:
        host.records.add(gateway("one", url=one), gateway("two", url=two))

        async with (
            serving(host, CALLERS, wait_for=4) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            await text_at(client, f"spindle://two/{README}")
            assert not first.asked
            assert second.asked == [("resources/read", {"uri": README})]
            host.records.remove(gateway("one"))
            assert await text_at(client, f"spindle://two/{README}") == f"text of {README}"


@eras
async def test_a_server_without_prefixes_shows_the_upstreams_own_uris(era: str) -> None:
    """And those that are scoped lead nowhere there."""
    library, host = Library(), FakeHost()

    async with library.running() as url:
        host.records.add(gateway("up", url=url), server("bare", gateways=("up",), prefix_free=True))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint("bare"), era=era) as client,
        ):
            assert [one.uri for one in (await client.list_resources()).resources] == [
                README, PICTURE, APP,
            ]  # fmt: skip
            assert await text_at(client, README) == f"text of {README}"
            assert await text_at(client, "note://a/b") == "text of note://a/b"
            assert (await refusal(client, SHOWN[0])).data["code"] == "mcp.resource.not_found"
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert tools["clock"].meta == {"ui": {"resourceUri": APP, "visibility": ["model"]}}


@eras
async def test_a_tools_user_interface_and_links_are_readable_where_it_is_shown(era: str) -> None:
    """A page of the web stays one."""
    library, host = Library(), FakeHost()

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            meta = tools["up__clock"].meta
            assert meta == {"ui": {"resourceUri": SHOWN[2], "visibility": ["model"]}}
            assert await text_at(client, SHOWN[2]) == f"text of {APP}"
            result: Any = await client.call_tool("up__links", {})
            link, page, inside = result.content
            assert link.uri == SHOWN[0]
            assert page.uri == "https://example.com/page"
            assert inside.resource.uri == SHOWN[0]


@eras
async def test_a_hidden_resource_answers_exactly_like_an_absent_one(era: str) -> None:
    """In the words of the protocol's version; also where a template covers it, however spelt."""
    library, host = Library(), FakeHost()
    library.resources["note://a/secret"] = library.resources[README].model_copy(
        update={"uri": "note://a/secret"}
    )
    name = f"{UP}note://a/secret"
    spellings = (name, f"{UP}note://a/s%65cret")

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS, wait_for=2) as served:
            await until_there(host, Kind.RESOURCE, name)
            record = host.records.find(Kind.RESOURCE, name)
            assert record is not None

            async with connected(served.endpoint(), era=era) as client:
                assert await text_at(client, name) == "text of note://a/secret"
                host.records.add(replace(record, visibility=Visibility.TEAM, team="others"))
                assert name not in [one.uri for one in (await client.list_resources()).resources]
                hidden = [await refusal(client, uri) for uri in spellings]
                missing = await refusal(client, f"{UP}note://a/missing")
                absent = await refusal(client, f"{UP}none://a")

    uris = (*spellings, f"{UP}note://a/missing", f"{UP}none://a")

    for error, uri in zip((*hidden, missing, absent), uris, strict=True):
        assert error.code == (-32002 if era == "legacy" else -32602)
        assert error.message == f"Unknown resource: {uri}"
        assert {**error.data, "traceId": ""} == {
            "uri": uri, "code": "mcp.resource.not_found", "origin": "client", "traceId": "",
        }  # fmt: skip


@eras
async def test_what_a_hidden_template_covers_is_not_read_through_another(era: str) -> None:
    """A wide template opens nothing that a narrow one keeps."""
    library, host = Library(), FakeHost()
    wide = library.templates[0].model_copy(update={"uri_template": "note://{+rest}"})
    library.templates.append(wide)

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            await until_there(host, Kind.RESOURCE_TEMPLATE, f"{UP}note://{{+rest}}")
            assert await text_at(client, f"{UP}note://a/b/c") == "text of note://a/b/c"
            narrow = host.records.find(Kind.RESOURCE_TEMPLATE, f"{UP}{NOTES}")
            assert narrow is not None
            host.records.add(replace(narrow, visibility=Visibility.TEAM, team="others"))
            assert await text_at(client, f"{UP}note://a/b/c") == "text of note://a/b/c"

            for uri in ("note://a/b", "note://a%2Fb", "no%74e://a/b"):
                error = await refusal(client, f"{UP}{uri}")
                assert error.data["code"] == "mcp.resource.not_found"


@eras
async def test_who_lacks_the_permission_is_told_so_whatever_there_is(era: str) -> None:
    """Nothing is listed, and a read says the same of what is there and what is not."""
    library, host = Library(), FakeHost()
    nobody = caller("a", permissions=("tools.read", "servers.use"))

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, {"a": nobody}, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            assert (await client.list_resources()).resources == []
            assert (await client.list_resource_templates()).resource_templates == []
            errors = [await refusal(client, uri) for uri in (SHOWN[0], f"{UP}none://x")]

    assert {error.code for error in errors} == {-32003}
    assert (
        errors[0].message
        == errors[1].message
        == ("This token lacks the permission resources.read.")
    )
    assert not host.journal.admitted


@eras
async def test_a_virtual_server_shows_the_resources_it_names(era: str) -> None:
    """By gateway or by name; the rest is not there."""
    library, host = Library(), FakeHost()

    async with library.running() as url:
        host.records.add(gateway("up", url=url), server("some", resources=(SHOWN[0],)))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint("some"), era=era) as client,
        ):
            assert [one.uri for one in (await client.list_resources()).resources] == SHOWN[:1]
            assert await text_at(client, SHOWN[0]) == f"text of {README}"
            assert (await refusal(client, SHOWN[1])).data["uri"] == SHOWN[1]
            assert (await refusal(client, f"{UP}note://a/b")).data["uri"] == f"{UP}note://a/b"


@eras
async def test_plugins_judge_what_is_read(era: str) -> None:
    """A text is changed, a refused reading is no answer, and a picture may become a text."""
    library, host = Library(), FakeHost()
    host.plugins.append(Word("text of", "TEXT OF", *FETCH))

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            assert await text_at(client, SHOWN[0]) == f"TEXT OF {README}"
            host.plugins[:] = [Word("text of", None, *FETCH)]
            error = await refusal(client, SHOWN[0])
            assert error.data["origin"] == "plugin"
            assert host.journal.settled[-1].outcome.status is Status.DENIED
            host.plugins[:] = [Censor()]
            assert await text_at(client, SHOWN[1]) == "[removed]"


@eras
async def test_a_plugin_cannot_send_a_reader_elsewhere(era: str) -> None:
    """A URI that it rewrites has to be of the same record."""
    library, host = Library(), FakeHost()
    host.plugins.append(Word("README", "OTHER", *FETCH))

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            error = await refusal(client, SHOWN[0])
            assert error.data["code"] == "mcp.resource.not_found"
            assert not library.asked
            host.plugins[:] = [Word("card", "****", *FETCH)]
            result = await client.read_resource(f"{UP}note://a/card")
            assert library.asked[-1][1] == {"uri": "note://a/****"}
            assert result.contents[0].uri == f"{UP}note://a/****"


class Censor(Word):
    """Replaces what is no text."""

    async def inspect(self, call: Any, segments: Any) -> Any:
        return tuple(
            replace(segment, text="[removed]") if not segment.text else segment
            for segment in segments
        )

    def __init__(self) -> None:
        super().__init__("", None, HookPhase.POST_FETCH)


@eras
async def test_a_reading_that_is_cancelled_is_cancelled_upstream(era: str) -> None:
    """And settled as that."""
    library, host = Library(), FakeHost()

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            async with anyio.create_task_group() as group:
                group.start_soon(client.read_resource, f"{UP}note://a/hang")

                with anyio.fail_after(5):
                    await library.reached.wait()

                group.cancel_scope.cancel()

            with anyio.fail_after(5):
                await library.cancelled.wait()

                while not host.journal.settled:
                    await anyio.lowlevel.checkpoint()

    assert host.outcome.status is Status.CANCELLED


async def test_hints_for_caches_are_the_upstreams_but_never_shared() -> None:
    """What one caller may read is not another's to find in a cache."""
    library, host = Library(), FakeHost()

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint()) as client,
        ):
            listed = await client.list_resources()
            templates = await client.list_resource_templates()
            picture = await client.read_resource(SHOWN[1])
            readme = await client.read_resource(SHOWN[0])

    assert (listed.ttl_ms, listed.cache_scope) == (5000, "private")
    assert (templates.ttl_ms, templates.cache_scope) == (5000, "private")
    assert (picture.ttl_ms, picture.cache_scope) == (7000, "private")
    assert (readme.ttl_ms, readme.cache_scope) == (0, "private")


async def test_the_demo_gateway_has_something_to_read() -> None:
    """A page, and greetings by a template."""
    host = FakeHost([gateway("demo", transport="builtin")])

    async with (
        serving(host, CALLERS, wait_for=4) as served,
        connected(served.endpoint()) as client,
    ):
        assert "demo gateway" in await text_at(client, "spindle://demo/demo://guide")
        greeting = "spindle://demo/demo://greetings/finnish"
        assert await text_at(client, greeting) == "Hei!"
        unknown = await refusal(client, "spindle://demo/demo://greetings/martian")
        assert unknown.data["code"] == "mcp.resource.not_found"
