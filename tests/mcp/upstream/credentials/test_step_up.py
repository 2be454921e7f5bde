"""Upstreams that want more than a token has, and upstreams that change their server."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2
import pytest

from spindle_mcp.upstream.credentials.discovery import Discovery
from spindle_spi.gateway_auth import GatewayAuth
from tests.mcp.support.clients import connected, error_of, text_of
from tests.mcp.support.consent import ADA, BOB, PUBLIC_URL, UNKNOWN, Place, place
from tests.support.authorization_server import Grant as Given
from tests.support.authorization_server import authorization_server
from tests.support.http_server import Answered

if TYPE_CHECKING:
    from spindle_mcp.upstream.credentials.grants import Grant

pytestmark = pytest.mark.anyio

HI: dict[str, object] = {"text": "hi"}
REGISTERS: dict[str, Any] = {**UNKNOWN, "dynamic_registration": True}
WIDER = (
    "The gateway 'up' needs a wider authorisation of yours: open "
    f"{PUBLIC_URL}/mcp/authorize/up as yourself, then call again."
)


async def refusal(here: Place, who: str) -> Any:
    async with connected(here.served.endpoint(), token=who) as client:
        return await error_of(client, "up__echo", HI)


def keep(here: Place, who: str, grant: Grant) -> None:
    """Keep a grant as another process would."""
    key = ("mcp", who, "grant:gw-up")
    held = here.host.outside.held[key]
    secret = replace(held.secret, secret=grant.sealed(), version=held.secret.version + 1)
    here.host.outside.held[key] = replace(held, secret=secret)


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_who_has_to_agree_to_more_is_told_where_and_asked_for_all_of_it(era: str) -> None:
    """What they have agreed to stays theirs; nobody else is asked anything."""
    async with place(era, **REGISTERS) as here:
        await here.authorize(ADA)
        await here.authorize(BOB)
        here.guard.needed = {"tools/call": "write"}
        error = await refusal(here, ADA)
        assert (error.message, error.data["code"]) == (
            WIDER,
            "mcp.gateway.authorization_required",
        )
        assert (await here.asked(ADA))["scope"] == "tools write"
        assert (await here.asked(BOB))["scope"] == "tools"
        await here.authorize(ADA)

        async with connected(here.served.endpoint(), token=ADA) as client:
            assert await text_of(client, "up__echo", HI) == "hi"

        assert (await here.asked(ADA))["scope"] == "tools write"


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_nobody_is_asked_again_for_what_they_were_asked_for(era: str) -> None:
    """An upstream that is never content ends with an error, not with another consent."""
    async with place(era, **REGISTERS) as here:
        await here.authorize(ADA)
        here.guard.needed = {"tools/call": "tools"}

        for given in here.server.tokens.values():
            given.scope = ""

        refused = here.guard.refusals
        error = await refusal(here, ADA)

    assert error.data["code"] == "mcp.upstream.insufficient_scope"
    assert error.message == (
        "The upstream of the gateway 'up' wants a scope that its token does not have. It was "
        f"asked for; open {PUBLIC_URL}/mcp/authorize/up to ask again."
    )
    assert here.guard.refusals == refused + 1
    assert here.grant(ADA).needed == ""


async def test_scopes_of_the_record_are_not_for_an_upstream_to_widen() -> None:
    """Whoever wrote them is the one to change them."""
    async with place(scopes=("tools",)) as here:
        await here.authorize(ADA)
        here.guard.needed = {"tools/call": "write"}
        error = await refusal(here, ADA)
        assert (await here.asked(ADA))["scope"] == "tools"

    assert error.data["code"] == "mcp.upstream.insufficient_scope"
    assert "auth.scopes of the gateway" in error.message


async def test_several_lacks_before_a_consent_are_asked_for_together() -> None:
    """Each is written down once, however often it is met."""
    async with place(**REGISTERS) as here:
        await here.authorize(ADA)

        for scope in ("write", "admin", "write"):
            here.guard.needed = {"tools/call": scope}
            assert (await refusal(here, ADA)).message == WIDER

        version = here.host.outside.held["mcp", ADA, "grant:gw-up"].secret.version
        assert version == 3
        assert (await here.asked(ADA))["scope"] == "tools write admin"


async def test_who_agreed_to_more_in_another_process_is_not_asked_again() -> None:
    """The newer token is used, for this very call."""
    async with place(**REGISTERS) as here:
        await here.authorize(ADA)
        here.guard.needed = {"tools/call": "write"}

        async with connected(here.served.endpoint(), token=ADA) as client:
            assert (await error_of(client, "up__echo", HI)).message == WIDER
            before = here.grant(ADA)
            here.server.tokens["wider"] = Given("x", "x", subject=ADA, scope="tools write")
            keep(here, ADA, replace(before, access_token="wider", asked="tools write", needed=""))
            assert await text_of(client, "up__echo", HI) == "hi"


@pytest.mark.parametrize("challenge", ["Bearer", 'Bearer error="access_denied", scope="write"'])
async def test_any_other_403_asks_nobody_for_anything(challenge: str) -> None:
    """The person may be who they say, and still not do this."""
    async with place(**REGISTERS) as here:
        await here.authorize(ADA)
        here.guard.needed = {"tools/call": "write"}
        here.guard.lack = challenge
        error = await refusal(here, ADA)
        assert (await here.asked(ADA))["scope"] == "tools"

    assert error.data["code"] == "mcp.upstream.credential_refused"


async def test_another_authorization_server_is_another_client_and_another_consent() -> None:
    """Nothing that the first one gave is shown to the second."""
    async with place(**REGISTERS) as here, authorization_server() as second:
        here.server.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}
        second.clients["another"] = here.server.clients["spindle"]
        second.clients["and-another"] = here.server.clients["spindle"]
        await here.authorize(ADA)
        here.server.refreshers.clear()
        here.server.end_all()
        first, here.guard.server, here.server = here.server, second, second
        shown = len(first.asked)
        error = await refusal(here, ADA)
        assert error.data["code"] == "mcp.gateway.authorization_required"
        assert here.kept(ADA) is None
        await here.authorize(ADA)

        async with connected(here.served.endpoint(), token=ADA) as client:
            assert await text_of(client, "up__echo", HI) == "hi"

    assert {form["client_id"] for form in second.forms()} == {"registered-2"}
    assert [path for path in first.paths()[shown:] if path == "/register"] == []


async def test_a_consent_begins_at_the_server_that_the_upstream_has_today() -> None:
    """Not at the one it had an hour ago."""
    async with place(**REGISTERS) as here, authorization_server() as second:
        assert (await here.begin(ADA)).startswith(here.server.url)
        here.guard.server = second
        assert (await here.begin(ADA)).startswith(second.url)


async def test_a_refused_token_is_not_renewed_at_a_server_that_is_not_the_upstreams_any_more() -> (
    None
):
    """The upstream is asked again whose tokens it takes; the person has to agree there."""
    async with place(**REGISTERS) as here, authorization_server() as second:
        await here.authorize(ADA)
        shown = len(here.server.forms())
        here.guard.server = second
        error = await refusal(here, ADA)

    assert error.data["code"] == "mcp.gateway.authorization_required"
    assert here.kept(ADA) is None
    assert len(here.server.forms()) == shown


async def test_a_server_that_cannot_be_found_for_now_is_still_the_one_it_was() -> None:
    """A refused token is renewed there."""
    async with place(**REGISTERS) as here:
        await here.authorize(ADA)
        here.server.end_all()
        here.server.raw["/.well-known/oauth-authorization-server"] = Answered(status=503)

        async with connected(here.served.endpoint(), token=ADA) as client:
            assert await text_of(client, "up__echo", HI) == "hi"


async def test_what_is_doubted_is_read_again_once_a_minute_and_no_oftener() -> None:
    """Tokens may be refused as often as an upstream likes."""
    times = [0.0]

    async def judge(url: str) -> str:
        return str(urlsplit(url).hostname)

    async with authorization_server() as server:
        found = Discovery(
            server.url,
            GatewayAuth(type="authorization_code", issuer=server.url),
            judge,
            lambda: httpx2.Request("GET", server.url),
            lambda: times[-1],
        )
        read: list[int] = []

        for seconds in (0.0, 1.0, 2.0, 61.0, 61.0):
            times.append(seconds)

            if seconds:
                found.doubt()

            await found.server()
            read.append(len(server.asked))

        await found.server(is_fresh=True)

    assert read == [1, 2, 2, 3, 3]
    assert len(server.asked) == 4
