"""Calls in several rounds: whose state is good for what, and what plugins see of it all."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.admission import Status
from tests.mcp.support.answering import Answering
from tests.mcp.support.asking import TOOLS, Asking
from tests.mcp.support.clients import connected, error_of, first_text
from tests.mcp.support.raw import Raw, raw_client
from tests.mcp.support.records import ANSWER, REQUEST, Word, gateway, server
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.mcp.support.serving import Served

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a"), "b": caller("b")}
ADA: dict[str, Any] = {"q1": {"action": "accept", "content": {"name": "Ada"}}}
both = pytest.mark.parametrize("upstream_era", ["modern", "legacy"])


def masks() -> list[Word]:
    """Return two plugins: one for what comes from the upstream, one for what goes there."""
    after, before = Word("secret", "***", ANSWER), Word("Ada", "A.", REQUEST)
    after.name, before.name = "after", "before"
    return [after, before]


@asynccontextmanager
async def gate(upstream: Asking, host: FakeHost, **config: Any) -> AsyncGenerator[Served]:
    async with upstream.running() as url:
        host.records.add(
            gateway("up", url=url, era=upstream.era),
            server("one", gateways=("up",)),
            server("two", gateways=("up",)),
        )

        async with serving(host, CALLERS, wait_for=len(TOOLS), config=config) as served:
            yield served


async def first_round(client: Raw, name: str = "up__elicit", **options: Any) -> str:
    answer = await client.call(name, **options)
    assert answer["result"]["resultType"] == "input_required"
    assert set(answer["result"]["inputRequests"]) == {"q1"}
    state: str = answer["result"]["requestState"]
    return state


@both
async def test_the_state_goes_on_to_the_upstream_and_the_call_ends(upstream_era: str) -> None:
    upstream, host = Asking(upstream_era), FakeHost()

    async with gate(upstream, host) as served, raw_client(served.endpoint()) as client:
        state = await first_round(client)
        answer = await client.call("up__elicit", requestState=state, inputResponses=ADA)

    assert "Ada" in answer["result"]["content"][0]["text"]
    assert upstream.calls == ["elicit"]
    assert {settled.outcome.status for settled in host.journal.settled} == {Status.OK}
    assert not host.open_permits
    assert not host.open_leases


@both
@pytest.mark.parametrize("wrong", ["forged", "foreign", "elsewhere", "other", "tool", "no text"])
async def test_a_state_is_good_for_its_caller_and_its_request_alone(
    upstream_era: str, wrong: str
) -> None:
    """Whatever is wrong with it, the refusal is the same, and the call is not begun anew."""
    upstream, host = Asking(upstream_era), FakeHost()

    async with (
        gate(upstream, host) as served,
        raw_client(served.endpoint("one")) as client,
        raw_client(served.endpoint("one"), token="b") as stranger,
        raw_client(served.endpoint("two")) as elsewhere,
    ):
        state: Any = await first_round(client, arguments={"text": "x"})
        other: dict[str, Any] = {"requestState": state, "inputResponses": ADA}
        name, arguments, asking = "up__elicit", {"text": "x"}, client

        match wrong:
            case "forged":
                other["requestState"] = state[:-8] + "AAAAAAAA"
            case "foreign":
                asking = stranger
            case "elsewhere":
                asking = elsewhere
            case "other":
                arguments = {"text": "y"}
            case "tool":
                name = "up__twice"
            case _:
                other["requestState"] = "v1.x"

        answer = await asking.call(name, arguments, **other)

    assert answer["error"]["code"] == -32602
    assert answer["error"]["data"] == {"reason": "invalid_request_state"}
    assert upstream.calls == ["elicit"]
    assert upstream.heard == []


async def test_a_state_grows_old() -> None:
    upstream, host = Asking("modern"), FakeHost()

    async with (
        gate(upstream, host, input_seconds=0.001) as served,
        raw_client(served.endpoint()) as client,
    ):
        state = await first_round(client)
        answer = await client.call("up__elicit", requestState=state, inputResponses=ADA)

    assert answer["error"]["data"] == {"reason": "invalid_request_state"}


@both
@pytest.mark.parametrize(
    ("tool", "capabilities", "required"),
    [
        ("elicit", {"sampling": {}}, {"elicitation": {}}),
        ("visit", {"elicitation": {"form": {}}}, {"elicitation": {"url": {}}}),
        ("elicit", {"elicitation": {"url": {}}}, {"elicitation": {}}),
        ("sample", {"roots": {}}, {"sampling": {}}),
    ],
)
async def test_only_what_the_client_declared_is_asked(
    tool: str, capabilities: dict[str, Any], required: dict[str, Any], upstream_era: str
) -> None:
    """The client is told what is missing; an older upstream is, and makes of it what it likes."""
    upstream, host = Asking(upstream_era), FakeHost()

    async with gate(upstream, host) as served, raw_client(served.endpoint()) as client:
        answer = await client.call(f"up__{tool}", capabilities=capabilities)

    if upstream_era == "modern":
        assert answer["error"]["code"] == -32021
        assert answer["error"]["data"]["requiredCapabilities"] == required
    else:
        assert answer["result"]["resultType"] == "complete"
        assert "error" in upstream.heard[0]


@both
async def test_upstreams_are_told_what_the_client_can_do(upstream_era: str) -> None:
    """And nothing of what does not work through a gateway."""
    upstream, host = Asking(upstream_era), FakeHost()
    declared: dict[str, Any] = {"elicitation": {"form": {}}, "experimental": {"x": {}}}

    async with gate(upstream, host) as served, raw_client(served.endpoint()) as client:
        await client.call("up__echo", capabilities=declared)
        await client.call("up__echo", capabilities={})

    asked, shared = upstream.declared
    assert asked == {"elicitation": {"form": {}}}
    # What a session that all share may be told is not what one client said.
    assert shared.keys() <= {"extensions"}


@both
async def test_plugins_see_questions_and_answers(upstream_era: str) -> None:
    """A question as something the upstream says, an answer as something it is given."""
    upstream, host = Asking(upstream_era, message="tell me your secret"), FakeHost()
    host.plugins += masks()

    async with gate(upstream, host) as served, raw_client(served.endpoint()) as client:
        first = await client.call("up__elicit")
        question = first["result"]["inputRequests"]["q1"]["params"]
        state = first["result"]["requestState"]
        await client.call("up__elicit", requestState=state, inputResponses=ADA)

    assert question["message"] == "tell me your ***"
    assert upstream.heard[0]["content"] == {"name": "A."}


@both
@pytest.mark.parametrize("tool", ["elicit", "sample"])
async def test_a_refused_question_is_not_asked(upstream_era: str, tool: str) -> None:
    upstream, host = Asking(upstream_era, message="tell me your secret"), FakeHost()
    host.plugins.append(Word("secret", None, ANSWER))

    async with gate(upstream, host) as served, raw_client(served.endpoint()) as client:
        answer = await client.call(f"up__{tool}")

    assert "inputRequests" not in answer.get("result", {})
    assert "secret" not in str(answer)


async def test_a_session_is_asked_through_plugins_too() -> None:
    upstream, host = Asking("modern", message="tell me your secret"), FakeHost()
    host.plugins += masks()
    answering = Answering()

    async with (
        gate(upstream, host) as served,
        connected(served.endpoint(), era="legacy", **answering.options()) as client,
    ):
        await client.call_tool("up__elicit", {})
        await client.call_tool("up__sample", {})

    assert answering.asked[0].message == "tell me your ***"
    assert answering.asked[1].messages[0].content.text == "tell me your ***"
    assert upstream.heard[0]["content"] == {"name": "A."}


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_log_messages_go_through_plugins(era: str) -> None:
    """One that is refused is left out; the call goes on."""
    upstream, host, answering = Asking(era), FakeHost(), Answering()
    host.plugins.append(Word("error", None, ANSWER))

    async with (
        gate(upstream, host) as served,
        connected(served.endpoint(), era="legacy", **answering.options()) as client,
    ):
        assert first_text(await client.call_tool("up__log", {})) == "log"

    assert answering.logged == []


@both
async def test_meta_goes_on_without_what_belongs_to_one_hop(upstream_era: str) -> None:
    upstream, host = Asking(upstream_era), FakeHost()
    meta = {
        "example.com/tenant": "t1",
        "io.modelcontextprotocol/related": "x",
        "progressToken": "mine",
    }

    async with gate(upstream, host) as served, raw_client(served.endpoint()) as client:
        await client.call("up__meta", meta=meta)

    (seen,) = upstream.metas
    assert seen["example.com/tenant"] == "t1"
    assert seen.get("io.modelcontextprotocol/related") is None
    assert "mine" not in seen.values()


async def test_nobody_judges_meta_so_it_does_not_pass_plugins() -> None:
    upstream, host = Asking("modern"), FakeHost()
    host.plugins.append(Word("", None, REQUEST))

    async with gate(upstream, host) as served, raw_client(served.endpoint()) as client:
        await client.call("up__meta", meta={"example.com/tenant": "t1"})

    assert "example.com/tenant" not in upstream.metas[0]


async def test_a_page_to_be_visited_first_is_told_in_each_eras_way() -> None:
    """An older upstream refuses until then; a client of today is asked, and comes again."""
    upstream, host = Asking("legacy", message="my secret page"), FakeHost()
    host.plugins += masks()

    async with (
        gate(upstream, host) as served,
        raw_client(served.endpoint()) as client,
        connected(served.endpoint(), era="legacy") as older,
    ):
        refused = await error_of(older, "up__link", {})
        upstream.calls.clear()
        asked = await client.call("up__link")
        visited = {"link1": {"action": "accept"}}
        done = await client.call("up__link", inputResponses=visited)
        upstream.calls.clear()
        unable = await client.call("up__link", capabilities={"elicitation": {}})

    assert refused.code == -32042
    assert refused.data["elicitations"][0]["message"] == "my *** page"
    question = asked["result"]["inputRequests"]["link1"]["params"]
    assert question["url"] == "https://example.com/login"
    assert question["message"] == "my *** page"
    assert "elicitationId" not in question
    assert done["result"]["resultType"] == "complete"
    assert unable["error"]["data"]["requiredCapabilities"] == {"elicitation": {"url": {}}}
