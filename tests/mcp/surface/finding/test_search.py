"""Search mode: two tools for all the others, with the decisions and hooks of a direct call."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp_types import CallToolResult

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.surface.finding.search import CALL_TOOL, FIND_TOOL
from spindle_spi.admission import Status
from spindle_spi.errors import UpstreamError
from spindle_spi.invocation import Complete, Invocation
from spindle_spi.module import Module
from spindle_spi.records import CatalogRecord, Kind, ModelSpec, ProviderSpec, Visibility
from tests.mcp.support.clients import ERAS, connected, error_of, first_text, names, text_of
from tests.mcp.support.records import ANSWER, Word, demo_host, gateway, logged, server
from tests.mcp.support.serving import serving
from tests.mcp.support.upstream import OBJECT, Scripted, scripted
from tests.mcp.surface.test_tools import forget, hide

if TYPE_CHECKING:
    from mcp.client import Client

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.descriptor import ModuleDescriptor
    from spindle_spi.invocation import ProgressSink, Result
    from spindle_spi.module import ModuleContext, Started
    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

META = ["call_tool", "find_tools"]
SEARCHED: JsonObject = {"search_above": 3}


@pytest.fixture(autouse=True, params=[True, False], ids=["short", "long"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Every test here holds for both ways of `tools/call`."""
    accelerated = bool(request.param)
    monkeypatch.setattr("tests.mcp.support.serving.ACCELERATED", accelerated)
    return accelerated


eras = pytest.mark.parametrize("era", ERAS)


async def find(client: Client, query: str, **more: Any) -> list[str]:
    """Return the names of the tools that are found."""
    result = await client.call_tool("find_tools", {"query": query, **more})
    assert isinstance(result, CallToolResult)
    assert not result.is_error
    structured: Any = result.structured_content
    found = [str(tool["name"]) for tool in structured["tools"]]
    text = first_text(result)
    assert (json.loads(text) == structured) if found else text.startswith("No tool")
    return found


def meant(name: str, **arguments: object) -> dict[str, object]:
    return {"name": name, "arguments": arguments}


@eras
async def test_a_client_finds_and_calls_what_is_not_listed(era: str) -> None:
    """Two tools are listed; the others are found by their words, and work."""
    host = demo_host()

    async with (
        serving(host, {"a": caller("a")}, wait_for=4, config=SEARCHED) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        listed = (await client.list_tools()).tools
        assert [tool.name for tool in listed] == META
        assert listed[1].input_schema == FIND_TOOL["inputSchema"]
        assert listed[0].input_schema == CALL_TOOL["inputSchema"]
        assert (await find(client, "sum of two numbers"))[0] == "demo__add"
        assert (await find(client, "What is the TIME now?"))[0] == "demo__time"
        assert len(await find(client, "echo add time slow")) == 4
        assert len(await find(client, "echo add time slow", limit=1)) == 1
        assert await find(client, "kubernetes") == []
        assert await text_of(client, "call_tool", meant("demo__echo", text="hi")) == "hi"
        # Who knows a name needs no search.
        assert await text_of(client, "demo__echo", {"text": "ho"}) == "ho"

    assert [one.permit.record.name for one in host.journal.settled] == ["demo__echo", "demo__echo"]
    assert {one.outcome.status for one in host.journal.settled} == {Status.OK}
    assert not host.open_permits
    assert not host.open_leases


@eras
async def test_what_is_found_says_how_to_call_it(era: str) -> None:
    """Name, description and schema as a list would have them."""
    host = demo_host()

    async with (
        serving(host, {"a": caller("a")}, wait_for=4, config=SEARCHED) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        result: Any = await client.call_tool("find_tools", {"query": "echo"})
        (tool,) = result.structured_content["tools"]
        assert tool["description"] == "Return the text it is given."
        assert tool["inputSchema"]["required"] == ["text"]


@eras
async def test_a_hidden_tool_is_neither_found_nor_called(era: str) -> None:
    """Called, it answers like one that is not there: code, words and data."""
    host = demo_host()

    async with serving(host, {"a": caller("a")}, wait_for=4, config={"search_above": 1}) as served:
        hide(host, "demo__echo")

        async with connected(served.endpoint(), era=era) as client:
            assert "demo__echo" not in await find(client, "return the text it is given")
            hidden = await error_of(client, "call_tool", meant("demo__echo", text="hi"))
            direct = await error_of(client, "demo__echo", {"text": "hi"})
            await forget(host, "demo__echo")
            absent = await error_of(client, "call_tool", meant("demo__echo", text="hi"))

    assert (hidden.code, hidden.message) == (-32602, "Unknown tool: demo__echo")
    assert (absent.code, absent.message) == (hidden.code, hidden.message)
    assert {**hidden.data, "traceId": ""} == {**absent.data, "traceId": ""}
    assert (direct.code, direct.message) == (hidden.code, hidden.message)
    assert not host.journal.settled


@eras
async def test_a_call_through_the_search_is_judged_like_any(era: str) -> None:
    """The tool's own schema, the plugins on arguments and results, the permission."""
    host = demo_host()
    host.plugins.append(Word("secret", "***"))
    refusing = Word("cursed", None, ANSWER)
    refusing.name = "refusing"
    host.plugins.append(refusing)
    reader = caller("b", permissions=("tools.read", "servers.use"))

    async with serving(
        host, {"a": caller("a"), "b": reader}, wait_for=4, config=SEARCHED
    ) as served:
        async with connected(served.endpoint(), era=era) as client:
            said = meant("demo__echo", text="my secret")
            assert await text_of(client, "call_tool", said) == "my ***"
            error = await error_of(client, "call_tool", meant("demo__echo", text="cursed"))
            assert error.data["origin"] == "plugin"
            wrong = await client.call_tool("call_tool", meant("demo__echo", text=7))
            assert first_text(wrong) == "Invalid arguments: text: 7 is not of type 'string'"

        async with connected(served.endpoint(), era=era, token="b") as client:
            refused = await error_of(client, "call_tool", meant("demo__echo", text="hi"))
            assert (refused.code, refused.data["origin"]) == (-32003, "policy")

    assert {one.permit.record.name for one in host.journal.settled} == {"demo__echo"}


@eras
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("find_tools", {}),
        ("find_tools", {"query": ""}),
        ("find_tools", {"query": "x", "limit": 0}),
        ("find_tools", {"query": "x", "limit": 51}),
        ("find_tools", {"query": 7}),
        ("call_tool", {}),
        ("call_tool", {"name": "demo__echo", "arguments": [1]}),
        ("call_tool", {"name": "demo__echo", "text": "hi"}),
    ],
)
async def test_arguments_of_the_two_are_checked(
    era: str, tool: str, arguments: dict[str, object]
) -> None:
    """A model reads what is wrong and tries again."""
    host = demo_host()

    async with (
        serving(host, {"a": caller("a")}, wait_for=4, config=SEARCHED) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        result = await client.call_tool(tool, arguments)

    assert isinstance(result, CallToolResult)
    assert result.is_error
    assert first_text(result).startswith("Invalid arguments")
    assert not host.journal.settled


@eras
async def test_progress_of_a_tool_called_through_the_search_arrives(era: str) -> None:
    """As of a direct call."""
    seen: list[float] = []
    host = demo_host()

    async def report(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async with (
        serving(host, {"a": caller("a")}, wait_for=4, config=SEARCHED) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        slow = meant("demo__slow", steps=3, delay=0.01)
        await client.call_tool("call_tool", slow, progress_callback=report)

    assert seen == [1.0, 2.0, 3.0]


@eras
async def test_a_server_says_how_its_tools_are_offered(era: str) -> None:
    """Else their number does; where nothing is said they are listed, however many."""
    host = demo_host()
    host.records.add(
        server("all", gateways=("demo",), mode="list"),
        server("few", tools=("demo__add",), instructions="Add."),
        server("one", tools=("demo__add",), mode="search", instructions="Search."),
    )

    async with serving(host, {"a": caller("a")}, wait_for=4, config=SEARCHED) as served:
        for slug, expected in ((None, 2), ("all", 4), ("few", 1), ("one", 2)):
            async with connected(served.endpoint(slug), era=era) as client:
                assert len(await names(client)) == expected

        async with connected(served.endpoint("one"), era=era) as client:
            assert client.session.instructions == "Search."
            assert await find(client, "echo add") == ["demo__add"]
            assert (await error_of(client, "call_tool", meant("demo__echo"))).code == -32602

    async with (
        serving(host, {"a": caller("a")}, wait_for=4) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        assert len(await names(client)) == 4
        assert (await error_of(client, "find_tools", {"query": "x"})).code == -32602


@eras
async def test_an_upstreams_tool_of_the_same_name_is_found_and_called_too(era: str) -> None:
    """By way of the gateway's own, which go first."""
    host = FakeHost()
    tools: list[JsonObject] = [{"name": "find_tools", "inputSchema": OBJECT, "title": "Theirs"}]

    async with scripted(Scripted(tools=tools)) as url:
        host.records.add(
            gateway("up", url=url),
            server("bare", gateways=("up",), prefix_free=True, mode="search"),
        )

        async with (
            serving(host, {"a": caller("a")}, wait_for=1) as served,
            connected(served.endpoint("bare"), era=era) as client,
        ):
            assert await names(client) == META
            assert await find(client, "theirs") == ["find_tools"]
            assert await text_of(client, "call_tool", meant("find_tools", text="up")) == "up"


@eras
async def test_what_changes_in_the_catalog_is_found_anew(era: str) -> None:
    """An index is of one state of a view, and of one caller's."""
    host = demo_host()
    callers = {"a": caller("a"), "b": caller("b", "others")}

    async with (
        serving(host, callers, wait_for=4, config={"search_above": 1}) as served,
        connected(served.endpoint(), era=era) as client,
        connected(served.endpoint(), era=era, token="b") as other,
    ):
        assert await find(client, "echo") == ["demo__echo"]
        hide(host, "demo__echo")

        with anyio.fail_after(5):
            while await find(client, "echo"):
                await anyio.sleep(0.01)

        assert await find(other, "echo") == ["demo__echo"]


@dataclass
class Embedder(Module):
    """A model of embeddings that knows what a calendar is."""

    asked: list[list[str]] = field(default_factory=list[list[str]])
    is_broken: bool = False

    @property
    def descriptor(self) -> ModuleDescriptor:
        raise NotImplementedError

    async def run(self, context: ModuleContext, started: Started) -> None:
        raise NotImplementedError

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        if self.is_broken:
            raise UpstreamError("away", code="upstream")

        texts: Any = invocation.arguments["input"]
        self.asked.append(texts)
        data: list[Json] = [{"embedding": _meaning(text)} for text in texts]
        return Complete(payload={"data": data})


def _meaning(text: str) -> list[Json]:
    is_date = any(word in text for word in ("calendar", "utc", "UTC", "time"))
    return [1.0, 0.0] if is_date else [0.1, 1.0]


def with_embedder() -> tuple[FakeHost, Embedder]:
    host, embedder = demo_host(), Embedder()
    host.owners["llm"] = embedder
    host.records.add(
        CatalogRecord(
            id="p",
            kind=Kind.PROVIDER,
            name="p",
            module="llm",
            visibility=Visibility.PUBLIC,
            spec=ProviderSpec(provider_type="mock"),
        ),
        CatalogRecord(
            id="m",
            kind=Kind.MODEL,
            name="p~embed",
            module="llm",
            visibility=Visibility.PUBLIC,
            spec=ModelSpec(provider="p", upstream_name="embed", supports=("embedding",)),
        ),
    )
    return host, embedder


BY_MEANING: JsonObject = {"search_above": 3, "search_model": "p~embed"}


@eras
async def test_a_model_of_embeddings_finds_what_no_word_names(era: str) -> None:
    """Each definition is embedded once, each question when it is asked."""
    host, embedder = with_embedder()

    async with (
        serving(host, {"a": caller("a")}, wait_for=4, config=BY_MEANING) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        assert (await find(client, "calendar"))[0] == "demo__time"
        assert [len(texts) for texts in embedder.asked] == [1, 4]
        assert (await find(client, "calendar please"))[0] == "demo__time"
        assert [len(texts) for texts in embedder.asked] == [1, 4, 1]


@eras
async def test_without_the_model_words_still_find(era: str) -> None:
    """It fails, or the caller may not use it: nobody is told of it, and nobody is kept waiting."""
    host, embedder = with_embedder()
    poor = caller("b", permissions=("tools.*", "servers.use"))

    async with serving(
        host, {"a": caller("a"), "b": poor}, wait_for=4, config=BY_MEANING
    ) as served:
        async with connected(served.endpoint(), era=era, token="b") as client:
            assert await find(client, "time") == ["demo__time"]
            assert not embedder.asked

        embedder.is_broken = True

        async with connected(served.endpoint(), era=era) as client:
            assert await find(client, "time") == ["demo__time"]

    assert len(logged(host, "mcp.search.by_words")) == 2
