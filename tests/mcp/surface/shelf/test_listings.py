from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mcp.shared.exceptions import MCPError

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.surface.shelf import listings
from spindle_spi.records import Kind
from tests.mcp.support.clients import ERAS, connected
from tests.mcp.support.records import gateway
from tests.mcp.support.serving import serving
from tests.mcp.support.shelf import Shelf

if TYPE_CHECKING:
    from mcp.client import Client

pytestmark = pytest.mark.anyio

NUMBERS = range(5)


@pytest.fixture(autouse=True, params=[True, False], ids=["short", "long"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here holds for both ways of a request."""
    monkeypatch.setattr("tests.mcp.support.serving.ACCELERATED", bool(request.param))


async def pages(client: Client, kind: str) -> list[list[str]]:
    """Return the names on each page of a list."""
    found, cursor = list[list[str]](), None
    key = {"templates": "resource_templates"}.get(kind, kind)
    word = {"resources": "uri", "templates": "uri_template"}.get(kind, "name")
    method = {"templates": "list_resource_templates"}.get(kind, f"list_{kind}")

    while True:
        page: Any = await getattr(client, method)(cursor=cursor)
        found.append([getattr(one, word) for one in getattr(page, key)])
        cursor = page.next_cursor

        if cursor is None:
            return found


@pytest.mark.parametrize("era", ERAS)
async def test_long_lists_come_in_pages_that_leave_nothing_out(
    era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the names; a cursor that is none of ours is refused."""
    monkeypatch.setattr(listings, "PAGE", 2)
    host = FakeHost()
    shelf = Shelf(
        tools=[{"name": f"t{number}", "inputSchema": {"type": "object"}} for number in NUMBERS],
        resources=[{"name": "r", "uri": f"a://{number}"} for number in NUMBERS],
        templates=[{"name": "r", "uriTemplate": f"a{number}://{{x}}"} for number in NUMBERS],
        prompts=[{"name": f"pé{number}"} for number in NUMBERS],
    )

    async with shelf.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, {"a": caller("a")}, wait_for=5) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            listed = {
                kind: await pages(client, kind)
                for kind in ("tools", "resources", "templates", "prompts")
            }

            for cursor in ("x", "!", "pé"):
                with pytest.raises(MCPError, match="Invalid cursor"):
                    await client.list_prompts(cursor=cursor)

    kinds = (Kind.TOOL, Kind.RESOURCE, Kind.RESOURCE_TEMPLATE, Kind.PROMPT)

    for kind, found in zip(kinds, listed.values(), strict=True):
        names = [record.name for record in host.records if record.kind is kind]
        assert [len(page) for page in found] == [2, 2, 1]
        assert [name for page in found for name in page] == sorted(names)


@pytest.mark.parametrize("era", ERAS)
async def test_what_people_say_of_a_record_is_what_callers_read(era: str) -> None:
    """Over the upstream's own words."""
    from dataclasses import replace

    host = FakeHost()
    shelf = Shelf(prompts=[{"name": "p", "description": "theirs"}, {"name": "q"}])

    async with shelf.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, {"a": caller("a")}) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            await shelf.until_listed(host, Kind.PROMPT, "up__q")
            record = host.records.find(Kind.PROMPT, "up__p")
            assert record is not None
            host.records.add(replace(record, description="ours"))
            said = [one.description for one in (await client.list_prompts()).prompts]

    assert said == ["ours", None]


@pytest.mark.parametrize("era", ERAS)
async def test_what_is_served_is_declared(era: str) -> None:
    """With word of what changes, and of the extension that is handed on."""
    host = FakeHost()

    async with (
        serving(host, {"a": caller("a")}) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        found: Any = client.session.server_capabilities
        said = found.model_dump(by_alias=True, exclude_none=True)

    assert said["tools"] == {"listChanged": True}
    assert said["prompts"] == {"listChanged": True}
    assert said["resources"] == {"listChanged": True, "subscribe": True}
    assert said["completions"] == {}

    if era != "legacy":
        assert said["extensions"] == {"io.modelcontextprotocol/ui": {}}
