"""What an upstream asks on a person's own session reaches that person, and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.mcp.support.answering import Answering
from tests.mcp.support.asking import Asking
from tests.mcp.support.clients import connected, error_of, first_text
from tests.mcp.support.consent import ADA, BOB, Place, place
from tests.mcp.support.raw import raw_client

if TYPE_CHECKING:
    from mcp.client import Client

pytestmark = pytest.mark.anyio


def subjects(here: Place, upstream: Asking) -> list[str | None]:
    """Return for whom each call was."""
    return [here.server.tokens[token].subject for token in upstream.tokens]


@pytest.mark.parametrize("speaks", ["legacy", "both"])
async def test_each_person_is_asked_on_a_session_that_shows_them(speaks: str) -> None:
    """Both at once, and the log messages with it; those who cannot be asked as before."""
    upstream, ada, bob = Asking(speaks), Answering(), Answering(content={"name": "Bob"})
    era = "auto" if speaks == "both" else speaks

    async with place(era, asking=upstream) as here:
        await here.authorize(ADA)
        await here.authorize(BOB)
        url, said = here.served.endpoint(), dict[str, list[str]]()

        async def call(who: str, client: Client) -> None:
            for tool in ("up__elicit", "up__log"):
                result = await client.call_tool(tool, {})
                said.setdefault(who, []).append(first_text(result))

        async with (
            connected(url, token=ADA, era="legacy", **ada.options()) as one,
            connected(url, token=BOB, era="legacy", **bob.options()) as two,
            connected(url, token=BOB, era="legacy") as plain,
        ):
            async with anyio.create_task_group() as group:
                group.start_soon(call, ADA, one)
                group.start_soon(call, BOB, two)

            await plain.call_tool("up__echo", {})

        assert sorted(map(str, subjects(here, upstream))) == [ADA, ADA, BOB, BOB, BOB]

    assert "Ada" in said[ADA][0]
    assert "Bob" in said[BOB][0]
    assert len(ada.asked) == len(bob.asked) == 1
    assert len(ada.logged) == len(bob.logged) == 1
    assert len(set(upstream.sessions)) == 3


async def test_a_client_of_today_is_asked_in_rounds() -> None:
    """The call waits on the person's session; nobody else can answer in their place."""
    upstream = Asking("legacy")
    answers: dict[str, Any] = {"q1": {"action": "accept", "content": {"name": "Ada"}}}

    async with place("legacy", asking=upstream) as here:
        await here.authorize(ADA)
        await here.authorize(BOB)
        url = here.served.endpoint()

        async with raw_client(url, token=ADA) as one, raw_client(url, token=BOB) as two:
            asked = await one.call("up__elicit")
            state = asked["result"]["requestState"]
            theft = await two.call("up__elicit", requestState=state, inputResponses=answers)
            done = await one.call("up__elicit", requestState=state, inputResponses=answers)

        assert subjects(here, upstream) == [ADA]

    assert theft["error"]["data"] == {"reason": "invalid_request_state"}
    assert "Ada" in done["result"]["content"][0]["text"]


async def test_another_grant_is_shown_on_another_session() -> None:
    """Of the client as well; the one before is not used again."""
    upstream = Asking("legacy")

    async with place("legacy", asking=upstream) as here:
        await here.authorize(ADA)

        async with connected(
            here.served.endpoint(), token=ADA, era="legacy", **Answering().options()
        ) as client:
            await client.call_tool("up__echo", {})
            await here.ask("DELETE", "/mcp/grants/up", ADA)
            refused = await error_of(client, "up__echo", {})
            await here.authorize(ADA)
            await client.call_tool("up__echo", {})

    assert refused.data["code"] == "mcp.gateway.authorization_required"
    assert len(set(upstream.sessions)) == 2
