"""Consent by a link, for clients that can show one: who agrees meanwhile has their answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mcp_types as types
import pytest

from tests.mcp.support.clients import connected, error_of, text_of
from tests.mcp.support.consent import ADA, BOB, PUBLIC_URL, UNKNOWN, Place, place
from tests.mcp.support.raw import raw_client
from tests.mcp.support.upstream import Scripted

if TYPE_CHECKING:
    from mcp.client.session import ElicitationFnT

pytestmark = pytest.mark.anyio

HI: dict[str, object] = {"text": "hi"}
REGISTERS: dict[str, Any] = {**UNKNOWN, "dynamic_registration": True}
ADDRESS = f"{PUBLIC_URL}/mcp/authorize/up"
NEED = "The gateway 'up' needs your authorisation"
KEY = "spindle/consent"
ACCEPTED = {KEY: {"action": "accept"}}


def visiting(here: Place, who: str, shown: list[str], action: str = "accept") -> ElicitationFnT:
    """A client that shows links to a person, who agrees where they lead unless they say no."""

    async def show(context: object, params: types.ElicitRequestParams) -> types.ElicitResult:
        del context
        assert isinstance(params, types.ElicitRequestURLParams)
        shown.append(f"{params.message} {params.url}")

        if action == "accept":
            await here.authorize(who)

        return types.ElicitResult(action=action)  # type: ignore[arg-type] # one of three

    return show


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_person_agrees_in_the_middle_of_their_call(era: str) -> None:
    """Shown once, with what it is for; the call goes on when they are back."""
    shown: list[str] = []

    async with place(era, **REGISTERS) as here:
        await here.authorize(ADA)
        show = visiting(here, BOB, shown)

        async with connected(
            here.served.endpoint(), token=BOB, elicitation_callback=show
        ) as client:
            assert await text_of(client, "up__echo", HI) == "hi"

    assert shown == [f"{NEED}. {ADDRESS}"]


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_person_agrees_to_more_in_the_middle_of_their_call(era: str) -> None:
    """Whatever the upstream speaks."""
    shown: list[str] = []

    async with place(era, **REGISTERS) as here:
        await here.authorize(ADA)
        here.guard.needed = {"tools/call": "write"}
        show = visiting(here, ADA, shown)

        async with connected(
            here.served.endpoint(), token=ADA, elicitation_callback=show
        ) as client:
            assert await text_of(client, "up__echo", HI) == "hi"

    assert shown == [f"The gateway 'up' needs a wider authorisation of yours. {ADDRESS}"]


async def test_a_client_of_before_2026_has_an_error_with_the_link() -> None:
    """By the protocol's own code; it comes again when its person has been there."""
    async with place(**REGISTERS) as here:
        await here.authorize(ADA)
        show = visiting(here, BOB, [])

        async with connected(
            here.served.endpoint(), token=BOB, era="legacy", elicitation_callback=show
        ) as client:
            error = await error_of(client, "up__echo", HI)
            await here.authorize(BOB)
            assert await text_of(client, "up__echo", HI) == "hi"

        async with connected(here.served.endpoint(), token=BOB, era="legacy") as client:
            await here.ask("DELETE", "/mcp/grants/up", BOB)
            plain = await error_of(client, "up__echo", HI)

    (link,) = error.data["elicitations"]
    assert link.pop("elicitationId")
    assert link == {"mode": "url", "message": f"{NEED}.", "url": ADDRESS}
    assert (error.code, error.data["code"]) == (-32042, "mcp.gateway.authorization_required")
    assert error.message == plain.message == f"{NEED}: open {ADDRESS} as yourself, then call again."
    assert plain.code != -32042


@pytest.mark.parametrize("action", ["decline", "accept"])
async def test_nobody_is_shown_the_link_twice_for_a_call(action: str) -> None:
    """Who says no, or has not been there yet, is told the address."""
    async with place(**REGISTERS) as here:
        await here.authorize(ADA)

        async with raw_client(here.served.endpoint(), token=BOB) as client:
            asked = await client.call("up__echo", HI)
            answers = {KEY: {"action": action}}
            told = await client.call("up__echo", HI, inputResponses=answers)

    assert set(asked["result"]["inputRequests"]) == {KEY}
    assert told["error"]["data"]["code"] == "mcp.gateway.authorization_required"
    assert ADDRESS in told["error"]["message"]


async def test_upstreams_do_not_hear_of_our_question() -> None:
    """The answers to their own go on, and not to be lost nothing is asked beside them."""
    async with place(**REGISTERS) as here:
        await here.authorize(ADA)

        async with raw_client(here.served.endpoint(), token=ADA) as client:
            await client.call("up__echo", HI, inputResponses=ACCEPTED)
            theirs = {"q1": {"action": "accept"}}
            await client.call("up__echo", HI, inputResponses={**ACCEPTED, **theirs})

        async with raw_client(here.served.endpoint(), token=BOB) as client:
            told = await client.call("up__echo", HI, inputResponses=theirs)

        upstream = here.guard.app
        assert isinstance(upstream, Scripted)
        calls = [body["params"] for _, body in upstream.requests if body["method"] == "tools/call"]

    assert told["error"]["data"]["code"] == "mcp.gateway.authorization_required"
    assert [call.get("inputResponses") for call in calls] == [None, theirs]  # type: ignore[union-attr]
