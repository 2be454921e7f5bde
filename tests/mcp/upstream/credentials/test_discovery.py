"""How the authorization server of an upstream is found, and what it is asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.mcp.support.clients import connected, error_of, text_of
from tests.mcp.support.consent import ADA, PUBLIC_URL, UNKNOWN, Place, place
from tests.support.http_server import Answered

pytestmark = pytest.mark.anyio

REGISTERS: dict[str, Any] = {**UNKNOWN, "dynamic_registration": True}
RESOURCE = "/.well-known/oauth-protected-resource"
OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


def origin_of(here: Place) -> str:
    return here.url.removesuffix("/mcp")


async def test_an_upstream_is_asked_as_its_clients_ask_and_without_a_credential() -> None:
    """Many answer nothing but the protocol's own requests with a challenge."""
    async with place(**REGISTERS) as here:
        await here.begin(ADA)
        knock = here.guard.shown[-1]

    assert "authorization" not in knock
    assert knock["mcp-method"] == "server/discover"


@pytest.mark.parametrize(
    ("at", "named", "asked"),
    [
        ("/custom.json", "/custom.json", ["/custom.json"]),
        (f"{RESOURCE}/mcp", None, [f"{RESOURCE}/mcp"]),
        (RESOURCE, None, [f"{RESOURCE}/mcp", RESOURCE]),
        (f"{RESOURCE}/mcp", "/gone.json", ["/gone.json", f"{RESOURCE}/mcp"]),
    ],
)
async def test_metadata_are_where_the_challenge_says_else_where_they_belong(
    at: str, named: str | None, asked: list[str]
) -> None:
    """In this order, and nowhere else once they are found."""
    async with place(**REGISTERS) as here:
        here.guard.place = at
        here.guard.asked.clear()

        if named is not None:
            here.guard.challenge = f'Bearer resource_metadata="{origin_of(here)}{named}"'

        await here.begin(ADA)

    assert here.guard.asked == asked


@pytest.mark.parametrize("path", ["", "/", "/mcp"])
async def test_tokens_are_for_the_upstream_by_the_name_it_gives_itself(path: str) -> None:
    """To the letter, at both of the server's doors."""
    async with place(**REGISTERS) as here:
        resource = f"{origin_of(here)}{path}"
        here.guard.metadata = {"resource": resource}
        asked = await here.asked(ADA)
        await here.authorize(ADA)

    assert asked["resource"] == resource
    assert {form["resource"] for form in here.server.forms()} == {resource}


@pytest.mark.parametrize(
    ("path", "at", "asked"),
    [
        ("", OAUTH, [OAUTH]),
        ("", OPENID, [OAUTH, OPENID]),
        ("/tenant", f"{OAUTH}/tenant", [f"{OAUTH}/tenant"]),
        ("/tenant", f"{OPENID}/tenant", [f"{OAUTH}/tenant", f"{OPENID}/tenant"]),
        (
            "/tenant",
            f"/tenant{OPENID}",
            [f"{OAUTH}/tenant", f"{OPENID}/tenant", f"/tenant{OPENID}"],
        ),
    ],
)
async def test_a_servers_metadata_are_at_one_of_the_standards_places(
    path: str, at: str, asked: list[str]
) -> None:
    """OAuth's before OpenID's; of an issuer with a path, never those of its host."""
    async with place(**REGISTERS) as here:
        issuer = f"{here.server.url}{path}"
        here.guard.metadata = {"authorization_servers": [issuer]}
        here.server.metadata, here.server.place = {"issuer": issuer}, at
        here.server.asked.clear()
        await here.begin(ADA)
        found = [one for one in here.server.paths() if ".well-known" in one]
        await here.authorize(ADA)

    assert found == asked


@pytest.mark.parametrize("slash", ["", "/"])
async def test_an_upstream_of_2025_03_is_its_own_server(slash: str) -> None:
    """It says nothing of itself as a resource; its origin's metadata name it."""
    async with place(**REGISTERS) as here:
        here.guard.place, here.guard.is_server = None, True
        here.server.url = origin_of(here)
        here.server.metadata = {"issuer": f"{origin_of(here)}{slash}"}
        await here.authorize(ADA)

    assert here.server.count("/register") == 1


async def test_an_upstream_of_2025_03_without_any_metadata_has_the_paths_of_its_time() -> None:
    """`/authorize`, `/token` and `/register` at its origin."""
    async with place(**REGISTERS) as here:
        here.guard.is_server = True
        here.server.url = origin_of(here)
        here.server.place = "/nowhere"
        await here.authorize(ADA)

    assert [form["code_verifier"] for form in here.server.forms()]


async def test_nobody_is_sent_to_an_upstreams_own_paths_where_we_could_not_register() -> None:
    """The person is told what is missing instead."""
    async with place(**UNKNOWN, client_metadata=True) as here:
        here.guard.place = None
        answer = await here.ask("GET", "/mcp/authorize/up", ADA)

    assert "the upstream has no metadata that name it" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("changes", "challenge", "supported", "scope"),
    [
        ({}, 'Bearer scope="one two"', ["three"], "one two"),
        ({}, "Bearer", ["three", "four"], "three four"),
        ({}, "Bearer", None, None),
        ({"scopes": ("mine",)}, 'Bearer scope="one"', ["three"], "mine"),
    ],
)
async def test_scopes_are_the_records_else_the_challenges_else_all_there_are(
    changes: dict[str, Any], challenge: str, supported: list[str] | None, scope: str | None
) -> None:
    """An upstream that names none is asked for none: its server knows what is usual."""
    async with place(**REGISTERS, **changes) as here:
        here.guard.challenge = challenge
        here.guard.metadata = {"scopes_supported": supported}
        asked = await here.asked(ADA)

    assert asked.get("scope") == scope


@pytest.mark.parametrize(
    ("changes", "supported", "has_offline", "scope"),
    [
        ({}, ["a"], True, "a offline_access"),
        ({}, ["a"], False, "a"),
        ({}, None, True, None),
        ({"scopes": ("a",)}, None, True, "a"),
        ({"scopes": ("a", "offline_access")}, None, True, "a offline_access"),
    ],
)
async def test_what_outlives_the_visit_is_asked_for_where_the_server_has_it(
    changes: dict[str, Any], supported: list[str] | None, has_offline: bool, scope: str | None
) -> None:
    """Beside other scopes and never alone; then the person is to see what they agree to."""
    async with place(**REGISTERS, **changes) as here:
        here.guard.metadata = {"scopes_supported": supported}
        here.server.metadata = {"scopes_supported": ["offline_access"] if has_offline else ["a"]}
        asked = await here.asked(ADA)

    assert asked.get("scope") == scope
    assert asked.get("prompt") == ("consent" if "offline" in str(scope) else None)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (
            {"resource": "https://evil.example/mcp"},
            "the upstream's metadata is of another resource",
        ),
        ({"authorization_servers": []}, "the upstream's metadata names none"),
    ],
)
async def test_metadata_of_somebody_else_lead_nobody_anywhere(
    metadata: dict[str, object], said: str
) -> None:
    """The person is told so, and no server hears of them."""
    async with place(**REGISTERS) as here:
        here.guard.metadata = metadata
        here.server.asked.clear()
        answer = await here.ask("GET", "/mcp/authorize/up", ADA)

    assert answer.status_code == 502
    assert answer.json()["error"]["message"] == (
        f"The gateway 'up' got no token from its authorization server: {said}."
    )
    assert here.server.asked == []


async def test_a_server_whose_metadata_name_another_issuer_is_not_used() -> None:
    """Who answers in another's name is nobody."""
    async with place(**REGISTERS) as here:
        here.server.metadata = {"issuer": "https://evil.example"}
        here.server.asked.clear()
        answer = await here.ask("GET", "/mcp/authorize/up", ADA)

    assert "its metadata name another issuer" in answer.json()["error"]["message"]
    assert here.server.paths() == [OAUTH]


@pytest.mark.parametrize(
    ("methods", "method"),
    [
        (None, "none"),
        (["client_secret_basic", "none"], "none"),
        (["client_secret_post", "client_secret_basic"], "client_secret_basic"),
        (["client_secret_basic"], "client_secret_basic"),
        (["client_secret_post"], "client_secret_post"),
    ],
)
async def test_a_client_registers_to_prove_itself_as_the_server_takes_it(
    methods: list[str] | None, method: str
) -> None:
    """By nothing that has to be kept, where that will do."""
    async with place(**REGISTERS) as here:
        here.server.metadata = {"token_endpoint_auth_methods_supported": methods}
        await here.authorize(ADA)

    assert here.server.clients["registered-1"].method == method


async def test_a_registration_that_says_no_method_is_used_as_the_metadata_say() -> None:
    """A secret goes into the body where the server takes it nowhere else."""
    async with place(**REGISTERS) as here:
        known = here.server.clients["spindle"]
        known.method = "client_secret_post"
        here.server.metadata = {"token_endpoint_auth_methods_supported": [known.method]}
        answer = json.dumps({"client_id": "spindle", "client_secret": known.secret}).encode()
        here.server.raw["/register"] = Answered(status=201, body=answer)
        await here.authorize(ADA)

    assert here.server.forms()[0]["client_secret"] == known.secret


@pytest.mark.parametrize(
    ("public_url", "kind"), [(PUBLIC_URL, "web"), ("http://localhost:4000", "native")]
)
async def test_a_client_says_what_kind_of_application_it_is(public_url: str, kind: str) -> None:
    """One on this machine is none of the web, by OpenID's rules for registration."""
    async with place(**REGISTERS, public_url=public_url) as here:
        await here.begin(ADA)
        (asked,) = (one for one in here.server.asked if one.target == "/register")

    assert json.loads(asked.body)["application_type"] == kind


@pytest.mark.parametrize(
    ("takes_it", "client"), [(True, "https://my.example/client"), (False, "registered-1")]
)
async def test_a_document_elsewhere_is_our_name_where_servers_take_documents(
    takes_it: bool, client: str
) -> None:
    """It is nobody's secret, so that no issuer has to be named beside it."""
    document: dict[str, Any] = {**REGISTERS, "client_id": "https://my.example/client"}

    async with place(**document) as here:
        here.server.metadata = {"client_id_metadata_document_supported": takes_it}
        await here.authorize(ADA)

    assert here.server.forms()[0]["client_id"] == client


async def test_a_client_that_its_server_forgot_registers_anew() -> None:
    """Met as codes are redeemed: the next consent is another client's."""
    async with place(**REGISTERS) as here:
        query = here.server.approve(await here.begin(ADA), ADA)
        here.server.clients.clear()
        refused = await here.finish(query, ADA)
        await here.authorize(ADA)

    assert refused.status_code == 502
    assert here.server.count("/register") == 2


async def test_a_grant_of_a_client_that_its_server_forgot_is_asked_for_again() -> None:
    """Nothing could renew it any more."""
    async with place(**REGISTERS) as here:
        await here.authorize(ADA)
        here.server.end_all()
        here.server.clients.clear()

        async with connected(here.served.endpoint(), token=ADA) as client:
            error = await error_of(client, "up__echo", {"text": "hi"})
            assert error.data["code"] == "mcp.gateway.authorization_required"
            await here.authorize(ADA)
            assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"


async def test_a_configured_client_that_its_server_refuses_costs_nobody_their_grant() -> None:
    """An administrator mends the secret, and all goes on."""
    async with place() as here:
        await here.authorize(ADA)
        here.server.end_all()
        known = here.server.clients.pop("spindle")

        async with connected(here.served.endpoint(), token=ADA) as client:
            error = await error_of(client, "up__echo", {"text": "hi"})
            assert error.data["code"] == "mcp.upstream.no_token"
            here.server.clients["spindle"] = known
            assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"
