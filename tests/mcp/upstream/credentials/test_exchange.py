"""Gateways that exchange our word on who calls for a token of theirs."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from joserfc.jwk import ECKey

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.config_secrets import Deployment
from spindle_spi.gateway_auth import GatewayAuth
from spindle_spi.secret import SecretRef
from tests.mcp.support.clients import connected, error_of, text_of
from tests.mcp.support.guarded import Guarded
from tests.mcp.support.records import gateway
from tests.mcp.support.serving import listening, serving
from tests.mcp.support.upstream import Handshaking, Scripted
from tests.support.authorization_server import (
    EXCHANGE,
    AuthorizationServer,
    KnownClient,
    authorization_server,
)

if TYPE_CHECKING:
    from spindle_spi.types import ASGIApp

pytestmark = pytest.mark.anyio

PUBLIC_URL = "https://gateway.example"
ADA, BOB = "ada@example.org", "bob@example.org"
SECRET = "client-secret-of-the-tests"
HI: dict[str, object] = {"text": "hi"}


def host_of(url: str, era: str, server: AuthorizationServer, key: ECKey) -> FakeHost:
    auth = GatewayAuth(
        type="token_exchange",
        issuer=server.url,
        client_id="spindle",
        client_secret=SecretRef(name="client"),
        subject_key=SecretRef(name="key"),
        key_id="one",
        audience="tools",
    )
    server.clients["spindle"] = KnownClient(secret=SECRET)
    server.subject_key = key
    pem = key.as_pem(private=True).decode()
    record = gateway("up", url=url, auth=auth, era=era)
    host = FakeHost([record], secrets={"client": SECRET, "key": pem})
    host.outside.deployment = Deployment(public_url=PUBLIC_URL)
    return host


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_each_caller_is_exchanged_for_a_token_of_theirs(era: str) -> None:
    """By a subject token of ours; the caller's own goes nowhere. One exchange for many calls."""
    guards: list[Guarded] = []
    key = ECKey.generate_key("P-256")

    async with authorization_server() as server:

        def guard(app: ASGIApp) -> Guarded:
            guards.append(Guarded(app, server))
            return guards[-1]

        upstream = Handshaking(guarded=guard)

        async with upstream.running() as legacy, listening(guard(Scripted())) as modern:
            url = legacy if era == "legacy" else f"{modern}/mcp"
            host = host_of(url, era, server, key)
            callers = {"token-of-ada": caller(ADA), "token-of-bob": caller(BOB)}

            async with serving(host, callers, wait_for=1) as served:
                for token, person in (("token-of-ada", ADA), ("token-of-bob", BOB)):
                    async with connected(served.endpoint(), token=token) as client:
                        assert await text_of(client, "up__echo", HI) == "hi"
                        assert await text_of(client, "up__echo", HI) == "hi"

                    subjects = [one for guard in guards for one in guard.subjects]
                    assert person in subjects

        exchanges = [form for form in server.forms() if form["grant_type"] == EXCHANGE]
        machine = [form for form in server.forms() if form["grant_type"] != EXCHANGE]
        asked = str([(one.headers, one.body) for one in server.asked])

    assert len(exchanges) == 2
    assert {form["grant_type"] for form in machine} == {"client_credentials"}
    assert "token-of-" not in asked + str([guard.shown for guard in guards])
    claims = [json.loads(_padded(form["subject_token"].split(".")[1])) for form in exchanges]
    assert [one["sub"] for one in claims] == [ADA, BOB]
    assert {(one["iss"], one["aud"]) for one in claims} == {(PUBLIC_URL, server.url)}
    assert all(one["exp"] - one["iat"] == 60 for one in claims)
    assert {(form["audience"], form["resource"]) for form in exchanges} == {("tools", url)}


async def test_a_word_that_the_server_does_not_believe_is_an_error_of_the_gateway() -> None:
    """It names the gateway and not the key."""
    key = ECKey.generate_key("P-256")

    async with authorization_server() as server, listening(Guarded(Scripted(), server)) as url:
        host = host_of(f"{url}/mcp", "modern", server, key)
        server.subject_key = ECKey.generate_key("P-256")

        async with (
            serving(host, {"a": caller(ADA)}, wait_for=1) as served,
            connected(served.endpoint()) as client,
        ):
            error = await error_of(client, "up__echo", HI)

    assert error.message == (
        "The gateway 'up' got no token from its authorization server: it answered invalid_client."
    )


async def test_a_key_that_is_none_is_said_and_not_shown() -> None:
    """Neither to the caller nor in the log."""
    key = ECKey.generate_key("P-256")

    async with authorization_server() as server, listening(Guarded(Scripted(), server)) as url:
        host = host_of(f"{url}/mcp", "modern", server, key)
        host.secrets["key"] = "canary-that-is-no-key"

        async with (
            serving(host, {"a": caller(ADA)}, wait_for=1) as served,
            connected(served.endpoint()) as client,
        ):
            error = await error_of(client, "up__echo", HI)

    assert "our key is no private key for ES256" in error.message
    assert "canary" not in f"{error}{error.data}{host.journal.logged}"


def _padded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
