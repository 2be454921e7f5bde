"""What is taken from an upstream's lists: each kind for itself, each item for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.records import Kind, PromptSpec, ResourceSpec, ResourceTemplateSpec
from tests.mcp.support.library import Library
from tests.mcp.support.records import gateway, logged
from tests.mcp.support.serving import serving
from tests.mcp.support.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a")}
TOOL: Any = {"name": "t", "inputSchema": {"type": "object"}}


def resource(uri: str, **more: Any) -> Any:
    return {"name": "r", "uri": uri, **more}


def template(text: str, **more: Any) -> Any:
    return {"name": "r", "uriTemplate": text, **more}


def found(host: FakeHost, kind: Kind) -> list[str]:
    return [record.name for record in host.records if record.kind is kind]


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


async def test_records_say_what_the_upstream_said() -> None:
    """Definitions verbatim, names scoped or prefixed."""
    host = FakeHost()
    readme = resource("file:///a", mimeType="text/plain", description="A.", _meta={"x": 1})
    prompt: Any = {"name": "p q", "arguments": [{"name": "one"}, {"name": "two"}]}
    shelf = Shelf(resources=[readme], templates=[template("note://{x}")], prompts=[prompt])

    async with shelf.running() as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS):
            await shelf.until_listed(host, Kind.RESOURCE, "spindle://up/file:///a")

    record = host.records.find(Kind.RESOURCE, "spindle://up/file:///a")
    assert record is not None
    assert record.description == "A."
    assert record.spec == ResourceSpec(
        gateway="up", uri="file:///a", mime_type="text/plain", definition=readme
    )
    (name,) = found(host, Kind.PROMPT)
    assert name.startswith("up__p_q")
    prompts = [record.spec for record in host.records if record.kind is Kind.PROMPT]
    assert prompts == [
        PromptSpec(gateway="up", upstream_name="p q", arguments=("one", "two"), definition=prompt)
    ]
    templates = [record.spec for record in host.records if record.kind is Kind.RESOURCE_TEMPLATE]
    assert templates == [
        ResourceTemplateSpec(
            gateway="up", uri_template="note://{x}", definition=template("note://{x}")
        )
    ]
    assert "tools/list" not in shelf.methods


async def test_a_bad_item_is_left_out_and_told_of_and_the_others_stay() -> None:
    """In each list, with the reason."""
    host = FakeHost()
    shelf = Shelf(
        resources=[
            resource("ok://1"), resource("ok://1"), resource(""), resource("x://" + "a" * 600),
            resource("bad://\ud800"), {"uri": "no://name"}, resource("odd://1", size="big"), 7,
        ],
        templates=[template("ok://{x}"), template("bad://{x"), template("odd://{x}", icons=7)],
        prompts=[{"name": "ok"}, {"name": ""}, {"name": "odd", "arguments": [{"name": 7}]}],
    )  # fmt: skip

    async with shelf.running() as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS):
            await shelf.until_listed(host, Kind.PROMPT, "up__ok")

    assert found(host, Kind.RESOURCE) == ["spindle://up/ok://1"]
    assert found(host, Kind.RESOURCE_TEMPLATE) == ["spindle://up/ok://{x}"]
    assert found(host, Kind.PROMPT) == ["up__ok"]
    assert [line["reason"] for line in logged(host, "mcp.resource.left_out")] == [
        "its name is given twice",
        "it has no URI",
        "its URI is longer than 512 characters",
        "its URI is no text",
        "it has no name",
        "its definition breaks the protocol",
    ]
    assert [line["reason"] for line in logged(host, "mcp.resource_template.left_out")] == [
        "its URI template is of a form that is not understood",
        "its definition breaks the protocol",
    ]
    assert [line["reason"] for line in logged(host, "mcp.prompt.left_out")] == [
        "it has no name",
        "its definition breaks the protocol",
    ]
    published = host.journal.published[-1].left_out
    assert [left.kind for left in published] == [
        *[Kind.RESOURCE] * 6, *[Kind.RESOURCE_TEMPLATE] * 2, *[Kind.PROMPT] * 2,
    ]  # fmt: skip


async def test_a_list_that_fails_keeps_what_was_known_and_hurts_no_other() -> None:
    """It is asked for again soon, and comes back by itself."""
    host = FakeHost()
    shelf = Shelf(tools=[TOOL], resources=[resource("a://1")], prompts=[{"name": "p"}])

    async with shelf.running() as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS, config={"refresh_seconds": 0.05}):
            await shelf.until_listed(host, Kind.PROMPT, "up__p")
            shelf.errors["resources/list"] = -32603
            shelf.resources, shelf.prompts = [resource("b://1")], [{"name": "q"}]
            await shelf.until_listed(host, Kind.PROMPT, "up__q")
            await until(lambda: logged(host, "mcp.list.failed"))
            assert found(host, Kind.RESOURCE) == ["spindle://up/a://1"]
            assert found(host, Kind.TOOL) == ["up__t"]
            assert not logged(host, "mcp.gateway.down")
            del shelf.errors["resources/list"]
            await shelf.until_listed(host, Kind.RESOURCE, "spindle://up/b://1")

    assert logged(host, "mcp.list.failed")[0] == {
        "gateway": "up", "list": "resources/list", "error": "mcp.upstream.protocol_error",
    }  # fmt: skip


async def test_a_list_that_fails_from_the_start_keeps_no_other_away() -> None:
    """The gateway is connected with what it has."""
    host = FakeHost()
    shelf = Shelf(tools=[TOOL], prompts=[{"name": "p"}], errors={"prompts/list": -32603})

    async with shelf.running() as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS, wait_for=1) as served:
            await until(lambda: logged(host, "mcp.gateway.connected"))
            del shelf.errors["prompts/list"]
            await shelf.until_listed(host, Kind.PROMPT, "up__p")
            stats: Any = await served.module.stats()

    known = {
        "connected": True, "era": "modern", "failure": None,
        "tools": 1, "resources": 0, "resource_templates": 0, "prompts": 1, "left_out": 0,
    }  # fmt: skip
    assert stats["gateways"]["up"].items() >= known.items()


@pytest.mark.parametrize("is_legacy_only", [False, True], ids=["new", "old"])
async def test_upstreams_are_told_that_user_interfaces_can_be_shown(is_legacy_only: bool) -> None:
    """Many offer theirs only then; a client that cannot show one has the tool all the same."""
    host, library = FakeHost(), Library(is_legacy_only=is_legacy_only)

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS, wait_for=2):
            pass

    assert library.extensions == {
        "io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}
    }


async def test_resources_need_no_templates() -> None:
    """An upstream without that method has none; that is no failure."""
    host = FakeHost()
    shelf = Shelf(resources=[resource("a://1")], errors={"resources/templates/list": -32601})

    async with shelf.running() as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS):
            await shelf.until_listed(host, Kind.RESOURCE, "spindle://up/a://1")

    assert not logged(host, "mcp.list.failed")


async def test_each_list_is_bounded_by_its_own_number() -> None:
    """The beginning is taken."""
    host = FakeHost()
    shelf = Shelf(
        resources=[resource(f"a://{number}") for number in range(4)],
        templates=[template(f"a{number}://{{x}}") for number in range(4)],
        prompts=[{"name": f"p{number}"} for number in range(4)],
    )
    config: Any = {"max_resources": 2, "max_prompts": 3}

    async with shelf.running() as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS, config=config):
            await shelf.until_listed(host, Kind.PROMPT, "up__p0")

    assert len(found(host, Kind.RESOURCE)) == 2
    assert len(found(host, Kind.RESOURCE_TEMPLATE)) == 2
    assert len(found(host, Kind.PROMPT)) == 3
    assert logged(host, "mcp.resource_template.left_out")[0]["reason"] == (
        "more than 2 resource templates"
    )
