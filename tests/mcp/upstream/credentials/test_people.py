"""Gateways that act for persons: consent, tokens of each, and who may not end what they began."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from spindle_mcp.upstream.credentials.grants import read_grant
from spindle_spi.gateway_auth import GatewayAuth
from spindle_spi.records import GatewaySpec, Kind, Visibility
from tests.mcp.support.clients import connected, error_of, text_of
from tests.mcp.support.consent import (
    ADA,
    BOB,
    CALLBACK,
    PUBLIC_URL,
    ROBOT,
    SECRET,
    UNKNOWN,
    place,
)
from tests.mcp.support.records import gateway
from tests.mcp.support.serving import listening
from tests.mcp.support.upstream import Scripted
from tests.support.http_server import Answered

pytestmark = pytest.mark.anyio

HI: dict[str, object] = {"text": "hi"}


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_each_person_is_shown_to_the_upstream_as_themselves(era: str) -> None:
    """The token of each, over sessions of their own; never the caller's own."""
    async with place(era) as here:
        await here.authorize(ADA)
        await here.authorize(BOB)

        for who in (ADA, BOB):
            here.guard.subjects.clear()

            async with connected(here.served.endpoint(), token=who) as client:
                assert await text_of(client, "up__echo", {"text": who}) == who

            assert who in here.guard.subjects
            assert set(here.guard.subjects) <= {who, BOB}

        shown = [headers.get("authorization", "") for headers in here.guard.shown]
        assert not any(value in (f"Bearer {ADA}", f"Bearer {BOB}") for value in shown)
        codes = [form for form in here.server.forms() if form["grant_type"] != "refresh_token"]
        assert {form["resource"] for form in codes} == {here.url}


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_who_has_not_said_yes_is_told_where_to(era: str) -> None:
    """By gateway and address; a caller who is nobody is told that they are."""
    async with place(era) as here:
        await here.authorize(ADA)

        async with connected(here.served.endpoint(), token=BOB) as client:
            error = await error_of(client, "up__echo", {"text": "hi"})

        async with connected(here.served.endpoint(), token=ROBOT) as client:
            robot = await error_of(client, "up__echo", {"text": "hi"})

    assert error.message == (
        f"The gateway 'up' needs your authorisation: open {PUBLIC_URL}/mcp/authorize/up as "
        "yourself, then call again."
    )
    assert error.data["code"] == "mcp.gateway.authorization_required"
    assert robot.data["code"] == "mcp.gateway.person_required"


async def test_the_request_for_consent_is_bound_and_for_this_upstream() -> None:
    """PKCE by S256, a state, the resource, and our way back."""
    async with place(scopes=("a", "b")) as here:
        url = await here.begin(ADA)
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}

    assert query["code_challenge_method"] == "S256"
    assert len(query["code_challenge"]) == 43
    assert query["redirect_uri"] == CALLBACK
    assert query["resource"] == here.url
    assert query["scope"] == "a b"
    assert len(query["state"]) > 40


async def test_a_state_is_good_for_its_person_once() -> None:
    """Wrong, replayed, another user's, or of an earlier beginning: all look the same."""
    async with place() as here:
        first = here.server.approve(await here.begin(ADA), ADA)
        query = here.server.approve(await here.begin(ADA), ADA)
        wrong = {**query, "state": query["state"][:-1] + "x"}
        refused = [
            await here.finish(first, ADA),
            await here.finish(wrong, ADA),
            await here.finish(query, BOB),
            await here.finish({**query, "state": "absent.x"}, ADA),
            await here.finish({"code": "x"}, ADA),
        ]
        # None of these has ended what she began.
        assert (await here.finish(query, ADA)).status_code == 200
        refused.append(await here.finish(query, ADA))
        assert here.kept(BOB) is None

    said = {(answer.status_code, answer.json()["error"]["code"]) for answer in refused}
    assert said == {(403, "mcp.authorization.not_begun")}


async def test_a_callback_without_a_caller_is_refused() -> None:
    """A stranger's browser cannot end what somebody else began."""
    async with place() as here:
        query = here.server.approve(await here.begin(ADA), ADA)
        answer = await here.finish(query, "")
        assert answer.status_code == 401
        assert (await here.finish(query, ADA)).status_code == 200


async def test_a_person_who_takes_too_long_begins_again() -> None:
    """Ten minutes."""

    async with place() as here:
        query = here.server.approve(await here.begin(ADA), ADA)
        key = ("mcp", ADA, "pending:gw-up")
        held = here.host.outside.held[key]
        text = held.secret.secret.reveal()
        start = text.index('"expires_at":')
        end = text.index(",", start)
        old = type(held.secret.secret)(f'{text[:start]}"expires_at":1{text[end:]}')
        here.host.outside.held[key] = replace(held, secret=replace(held.secret, secret=old))
        answer = await here.finish(query, ADA)

    assert answer.json()["error"]["code"] == "mcp.authorization.not_begun"


@pytest.mark.parametrize("said", ["https://evil.example", None, "SLASH"])
async def test_an_answer_of_another_issuer_is_refused(said: str | None) -> None:
    """Compared as text; missing is as bad where the server says it names itself."""
    async with place() as here:
        query = here.server.approve(await here.begin(ADA), ADA)
        issuer = f"{here.server.url}/" if said == "SLASH" else said
        query = {key: value for key, value in query.items() if key != "iss"}
        answer = await here.finish(query if issuer is None else {**query, "iss": issuer}, ADA)
        assert here.kept(ADA) is None
        assert here.server.forms() == []

    assert answer.json()["error"]["code"] == "mcp.authorization.issuer"


async def test_a_person_who_says_no_is_told_so() -> None:
    """What the server says about it is not repeated."""
    async with place() as here:
        url = await here.begin(ADA)
        state = parse_qs(urlsplit(url).query)["state"][0]
        query = {"state": state, "error": "access_denied", "error_description": "CANARY"}
        answer = await here.finish({**query, "iss": here.server.url}, ADA)

    assert answer.json()["error"]["code"] == "mcp.authorization.denied"
    assert "CANARY" not in answer.text


async def test_a_hidden_gateway_is_absent_at_its_consent() -> None:
    """The same answer as for one that is not there, but for its name."""
    async with place() as here:
        record = gateway("veiled", url="http://127.0.0.1:1/mcp", auth=GatewayAuth())
        here.host.records.add(replace(record, visibility=Visibility.PRIVATE, owner=BOB))
        hidden = await here.ask("GET", "/mcp/authorize/veiled", ADA)
        absent = await here.ask("GET", "/mcp/authorize/absent", ADA)

    assert hidden.status_code == absent.status_code == 404
    assert hidden.text.replace("veiled", "absent") == absent.text


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_refused_token_is_refreshed_once_and_the_grant_kept(era: str) -> None:
    """Rotation and all; the caller notices nothing."""
    async with place(era) as here:
        await here.authorize(ADA)

        async with connected(here.served.endpoint(), token=ADA) as client:
            here.server.end_all()
            assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"

        held = here.host.outside.held["mcp", ADA, "grant:gw-up"]
        grant = read_grant(held.secret.secret)

        assert grant is not None
        assert grant.refresh_token in here.server.refreshers
        assert len(here.server.refreshers) == 1


async def test_many_calls_at_once_refresh_once() -> None:
    """A refresh token that is shown twice ends everything."""
    async with place() as here:
        await here.authorize(ADA)

        async with connected(here.served.endpoint(), token=ADA) as client:
            before = len(here.server.forms())
            here.server.end_all()

            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(text_of, client, "up__echo", HI)

            assert len(here.server.forms()) == before + 1


async def test_a_grant_that_cannot_be_refreshed_is_forgotten_and_asked_for_again() -> None:
    """The server took it back."""
    async with place() as here:
        await here.authorize(ADA)
        here.server.end_all()
        here.server.refreshers.clear()

        async with connected(here.served.endpoint(), token=ADA) as client:
            error = await error_of(client, "up__echo", {"text": "hi"})

        assert error.data["code"] == "mcp.gateway.authorization_required"
        assert here.kept(ADA) is None


async def test_a_server_that_is_away_loses_nobody_their_grant() -> None:
    """It is asked again later."""
    async with place() as here:
        await here.authorize(ADA)
        here.server.end_all()
        here.server.raw["/token"] = Answered(status=503)

        async with connected(here.served.endpoint(), token=ADA) as client:
            error = await error_of(client, "up__echo", {"text": "hi"})
            assert error.data["code"] == "mcp.upstream.no_token"
            assert here.kept(ADA) is not None
            del here.server.raw["/token"]
            assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_person_sees_their_grants_and_takes_them_back(era: str) -> None:
    """Without values; at the server, too; others keep theirs."""
    async with place(era) as here:
        await here.authorize(ADA)
        await here.authorize(BOB)
        listed = await here.ask("GET", "/mcp/grants", ADA)
        assert [entry["gateway"] for entry in listed.json()["data"]] == ["up"]
        assert set(listed.json()["data"][0]) == {"gateway", "created_at", "updated_at"}

        async with connected(here.served.endpoint(), token=ADA) as client:
            await text_of(client, "up__echo", {"text": "hi"})
            assert (await here.ask("DELETE", "/mcp/grants/up", ADA)).status_code == 204
            error = await error_of(client, "up__echo", {"text": "hi"})

        assert error.data["code"] == "mcp.gateway.authorization_required"
        assert (await here.ask("DELETE", "/mcp/grants/up", ADA)).status_code == 404
        assert (await here.ask("GET", "/mcp/grants", ADA)).json() == {"data": []}
        assert len(here.server.refreshers) == 1

        async with connected(here.served.endpoint(), token=BOB) as client:
            assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"


async def test_tokens_go_to_no_other_upstream_than_they_were_given_for() -> None:
    """A record whose address is changed asks for consent anew."""
    async with place() as here:
        await here.authorize(ADA)

        async with listening(Scripted()) as other:
            record = here.host.records.find(Kind.GATEWAY, "up")
            assert record is not None
            assert isinstance(record.spec, GatewaySpec)
            spec = replace(record.spec, url=f"{other}/mcp")
            here.host.records.add(replace(record, spec=spec))

            with anyio.fail_after(10):
                while True:
                    async with connected(here.served.endpoint(), token=ADA) as client:
                        error = await error_of(client, "up__echo", {"text": "hi"})

                    if error.data["code"] == "mcp.gateway.authorization_required":
                        break


@pytest.mark.parametrize(
    ("changes", "metadata", "client"),
    [
        ({"dynamic_registration": True}, {}, "registered-1"),
        (
            {"client_metadata": True, "dynamic_registration": True},
            {"client_id_metadata_document_supported": True},
            f"{PUBLIC_URL}/mcp/client-metadata.json",
        ),
        ({"client_metadata": True, "dynamic_registration": True}, {}, "registered-1"),
    ],
)
async def test_a_gateway_without_a_client_makes_itself_known(
    changes: dict[str, Any], metadata: dict[str, object], client: str
) -> None:
    """By its document where the server takes that, else by registration where that is allowed."""
    async with place(**UNKNOWN, **changes) as here:
        here.server.metadata = metadata
        await here.authorize(ADA)
        assert here.server.forms()[0]["client_id"] == client
        here.server.end_all()

        async with connected(here.served.endpoint(), token=ADA) as caller_of:
            assert await text_of(caller_of, "up__echo", {"text": "hi"}) == "hi"

        told = await here.ask("GET", "/mcp/client-metadata.json", "")
        assert told.json()["redirect_uris"] == [CALLBACK]


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"code_challenge_methods_supported": ["plain"]}, "it does not do PKCE with S256"),
        ({"code_challenge_methods_supported": None}, "it does not do PKCE with S256"),
        ({"authorization_endpoint": None}, "it has no place for people to say yes"),
        ({"token_endpoint": None}, "its metadata name no token endpoint"),
    ],
)
async def test_a_server_that_cannot_do_it_safely_is_not_used(
    metadata: dict[str, object], reason: str
) -> None:
    """The person is told why, and sent nowhere."""
    async with place() as here:
        here.server.metadata = metadata
        answer = await here.ask("GET", "/mcp/authorize/up", ADA)

    assert answer.status_code == 502
    assert reason in answer.json()["error"]["message"]


async def test_registration_is_not_done_where_it_is_not_allowed() -> None:
    """Nobody makes clients behind the operator's back."""
    async with place(**UNKNOWN, client_metadata=True) as here:
        answer = await here.ask("GET", "/mcp/authorize/up", ADA)
        assert answer.status_code == 502
        assert here.server.count("/register") == 0


async def test_no_token_and_no_secret_is_in_logs_answers_or_audit() -> None:
    """Whatever happened."""
    async with place() as here:
        await here.authorize(ADA)
        tokens = [*here.server.tokens, *here.server.refreshers]
        here.server.end_all()
        here.server.refreshers.clear()

        async with connected(here.served.endpoint(), token=ADA) as client:
            error = await error_of(client, "up__echo", {"text": "hi"})

        journal = here.host.journal
        health = await here.served.module.health()
        everything = f"{journal.logged}{journal.audited}{error}{error.data}{health}"
        stats = str(await here.served.module.stats())

    assert tokens
    assert not any(token in everything + stats for token in [*tokens, SECRET])
