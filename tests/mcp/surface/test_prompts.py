from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference, ResourceTemplateReference

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.admission import Status
from spindle_spi.plugin import HookPhase
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Visibility
from tests.mcp.support.clients import ERAS, connected
from tests.mcp.support.library import NOTES, README, Library
from tests.mcp.support.records import Word, gateway, server
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from mcp.client import Client

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a")}
FETCH = (HookPhase.PRE_FETCH, HookPhase.POST_FETCH)


@pytest.fixture(autouse=True, params=[True, False], ids=["short", "long"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Every test here holds for both ways of a request."""
    accelerated = bool(request.param)
    monkeypatch.setattr("tests.mcp.support.serving.ACCELERATED", accelerated)
    return accelerated


eras = pytest.mark.parametrize("era", ERAS)
upstreams = pytest.mark.parametrize("is_legacy_only", [False, True], ids=["from-new", "from-old"])


async def said(client: Client, prompt: str, /, **arguments: str) -> str:
    result: Any = await client.get_prompt(prompt, arguments)
    return str(result.messages[0].content.text)


async def refusal(client: Client, name: str) -> MCPError:
    try:
        result = await client.get_prompt(name, {})
    except MCPError as exc:
        return exc

    raise AssertionError(f"no error, but {result}")


@eras
@upstreams
async def test_prompts_are_listed_and_rendered_by_prefixed_names(
    era: str, is_legacy_only: bool
) -> None:
    """What they embed names resources as they are called here."""
    library, host = Library(is_legacy_only=is_legacy_only), FakeHost()

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            listed = (await client.list_prompts()).prompts
            assert [prompt.name for prompt in listed] == ["up__broken", "up__summary"]
            assert listed[1].arguments is not None
            assert listed[1].arguments[0].required is True
            result: Any = await client.get_prompt("up__summary", {"topic": "bees"})
            assert result.description == "Sums up."
            assert result.messages[0].content.text == "Sum up bees."
            assert result.messages[1].content.resource.uri == f"spindle://up/{README}"
            failed = await refusal(client, "up__broken")
            assert "secret" not in f"{failed.message}{failed.data}"

    assert library.asked[0] == ("prompts/get", {"name": "summary", "arguments": {"topic": "bees"}})
    assert [settled.outcome.status for settled in host.journal.settled] == [Status.OK, Status.ERROR]
    assert {settled.permit.record.kind for settled in host.journal.settled} == {Kind.PROMPT}
    assert not host.open_permits
    assert not host.open_leases


@eras
async def test_a_hidden_prompt_answers_exactly_like_an_absent_one(era: str) -> None:
    """For completion, too."""
    library, host = Library(), FakeHost()

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            record = host.records.find(Kind.PROMPT, "up__summary")
            assert record is not None
            host.records.add(replace(record, visibility=Visibility.TEAM, team="others"))
            assert [one.name for one in (await client.list_prompts()).prompts] == ["up__broken"]
            hidden, absent = await refusal(client, "up__summary"), await refusal(client, "none")

            with pytest.raises(MCPError) as completed:
                await client.complete(
                    PromptReference(name="up__summary"), {"name": "topic", "value": "b"}
                )

    assert hidden.code == absent.code == completed.value.code == -32602
    assert hidden.message == completed.value.message == "Unknown prompt: up__summary"
    assert absent.message == "Unknown prompt: none"
    assert {**hidden.data, "traceId": ""} == {**absent.data, "traceId": ""}
    assert not library.asked


@eras
async def test_a_virtual_server_shows_prompts_by_name_or_without_prefix(era: str) -> None:
    """As it does tools."""
    library, host = Library(), FakeHost()

    async with library.running() as url:
        host.records.add(
            gateway("up", url=url),
            server("bare", gateways=("up",), prefix_free=True),
            server("some", prompts=("up__summary",)),
        )

        async with serving(host, CALLERS, wait_for=2) as served:
            async with connected(served.endpoint("bare"), era=era) as client:
                assert [one.name for one in (await client.list_prompts()).prompts] == [
                    "broken", "summary",
                ]  # fmt: skip
                assert await said(client, "summary", topic="bees") == "Sum up bees."
                result: Any = await client.get_prompt("summary", {})
                assert result.messages[1].content.resource.uri == README

            async with connected(served.endpoint("some"), era=era) as client:
                assert [one.name for one in (await client.list_prompts()).prompts] == [
                    "up__summary"
                ]


@eras
async def test_plugins_judge_arguments_and_messages(era: str) -> None:
    """What they are not shown, the description, does not go out."""
    library, host = Library(), FakeHost()
    host.plugins.append(Word("bees", "wasps", *FETCH))

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            result: Any = await client.get_prompt("up__summary", {"topic": "bees"})
            assert result.messages[0].content.text == "Sum up wasps."
            assert result.description is None
            assert library.asked[0][1]["arguments"] == {"topic": "wasps"}
            host.plugins[:] = [Word("Sum", None, *FETCH)]
            assert (await refusal(client, "up__summary")).data["origin"] == "plugin"

    assert host.journal.settled[-1].outcome.status is Status.DENIED


@eras
@upstreams
async def test_arguments_are_completed_by_the_upstream(era: str, is_legacy_only: bool) -> None:
    """Of a prompt and of a template, each in the upstream's own words; admitted as reading."""
    library, host = Library(is_legacy_only=is_legacy_only), FakeHost()

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            found = await client.complete(
                PromptReference(name="up__summary"), {"name": "topic", "value": "b"}
            )
            assert (found.completion.values, found.completion.total) == (["b0", "b1", "b2"], 9)
            template = ResourceTemplateReference(uri=f"spindle://up/{NOTES}")
            await client.complete(template, {"name": "name", "value": "x"}, {"shelf": "a"})

            with pytest.raises(MCPError) as unknown:
                await client.complete(
                    ResourceTemplateReference(uri="spindle://up/none://{x}"),
                    {"name": "name", "value": "x"},
                )

    assert [params["ref"] for _, params in library.asked] == [
        {"type": "ref/prompt", "name": "summary"},
        {"type": "ref/resource", "uri": NOTES},
    ]
    assert library.asked[1][1]["context"] == {"arguments": {"shelf": "a"}}
    assert unknown.value.data["uri"] == "spindle://up/none://{x}"
    assert [admitted.action for admitted in host.journal.admitted] == [Action.READ] * 2


@eras
async def test_plugins_judge_what_is_completed(era: str) -> None:
    """What was typed, and what is offered."""
    library, host = Library(), FakeHost()
    host.plugins.append(Word("b", "w", *FETCH))

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            ref = PromptReference(name="up__summary")
            found = await client.complete(ref, {"name": "topic", "value": "b"})
            assert found.completion.values == ["w0", "w1", "w2"]
            assert library.asked[0][1]["argument"] == {"name": "topic", "value": "w"}
            host.plugins[:] = [Word("w1", "***", HookPhase.POST_FETCH)]
            found = await client.complete(ref, {"name": "topic", "value": "w"})
            assert found.completion.values == ["w0", "***", "w2"]


async def test_an_upstream_that_completes_nothing_is_not_asked() -> None:
    """There is nothing to offer then."""
    from tests.mcp.support.shelf import Shelf

    host = FakeHost()
    shelf = Shelf(prompts=[{"name": "p"}])

    async with shelf.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=0) as served,
            connected(served.endpoint()) as client,
        ):
            await shelf.until_listed(host, Kind.PROMPT, "up__p")
            ref = PromptReference(name="up__p")
            found = await client.complete(ref, {"name": "topic", "value": "b"})

    assert found.completion.values == []
    assert "completion/complete" not in shelf.methods
    assert not host.journal.admitted


async def test_the_demo_gateway_has_a_prompt_whose_language_is_completed() -> None:
    """Without any network."""
    host = FakeHost([gateway("demo", transport="builtin")])

    async with (
        serving(host, CALLERS, wait_for=4) as served,
        connected(served.endpoint()) as client,
    ):
        assert "greets Ada" in await said(client, "demo__greet", name="Ada", language="finnish")
        ref = PromptReference(name="demo__greet")
        found = await client.complete(ref, {"name": "language", "value": "f"})
        assert found.completion.values == ["finnish", "french"]
        assert (await refusal(client, "demo__greet")).data["code"] == "invalid_argument"
