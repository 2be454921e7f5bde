"""Gateways that prove themselves: headers, and tokens of the gateway itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.gateway_auth import GatewayAuth
from spindle_spi.secret import SecretRef
from tests.mcp.support.clients import connected, error_of, text_of
from tests.mcp.support.guarded import Guarded
from tests.mcp.support.records import gateway, logged
from tests.mcp.support.serving import listening, serving
from tests.mcp.support.upstream import Handshaking, Scripted
from tests.support.authorization_server import (
    SECRET_WORDS,
    AuthorizationServer,
    KnownClient,
    authorization_server,
)
from tests.support.http_server import Answered

if TYPE_CHECKING:
    from spindle_spi.types import ASGIApp

pytestmark = pytest.mark.anyio

HI: dict[str, object] = {"text": "hi"}

CALLERS = {"a": caller("a")}
SECRET = SecretRef(name="client")
CANARY = "canary-of-the-client"


def host_of(url: str, auth: GatewayAuth, **spec: object) -> FakeHost:
    """A host with one gateway, and the secrets it refers to."""
    values = {ref.name: CANARY for ref in auth.secrets()}
    return FakeHost([gateway("up", url=url, auth=auth, **spec)], secrets=values)


def machine(server: AuthorizationServer | None = None, **more: object) -> GatewayAuth:
    """What a gateway with a client of its own is told."""
    given: dict[str, object] = {
        "type": "client_credentials",
        "client_id": "spindle",
        "client_secret": SECRET,
        **more,
    }

    if server is not None:
        given["issuer"] = server.url
        server.clients.setdefault("spindle", KnownClient(secret=CANARY))

    return GatewayAuth(**given)  # type: ignore[arg-type] # the tests' own shorthand


async def refresh_of(host: FakeHost) -> None:
    """Wait until the gateway is known to be down."""
    with anyio.fail_after(10):
        while not logged(host, "mcp.gateway.down"):
            await anyio.sleep(0.005)


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_headers_of_the_record_are_on_every_request(era: str) -> None:
    """In both eras; the upstream sees nothing of the caller's own token."""
    auth = GatewayAuth(headers={"X-Api-Key": SECRET, "X-Tenant": SecretRef(name="tenant")})
    made: list[Guarded] = []

    def guard(app: ASGIApp) -> Guarded:
        made.append(Guarded(app, wanted={"x-api-key": CANARY, "x-tenant": CANARY}))
        return made[-1]

    upstream = Handshaking(guarded=guard)

    async with upstream.running() as legacy, listening(guard(Scripted())) as modern:
        url = legacy if era == "legacy" else f"{modern}/mcp"
        host = host_of(url, auth, era=era)

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint()) as client,
        ):
            assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"

    shown = [headers for each in made for headers in each.shown]
    assert shown
    assert all("authorization" not in headers for headers in shown)
    assert sum(each.refusals for each in made) == 0


async def test_a_headers_value_is_looked_up_once_for_many_requests() -> None:
    """It is kept as long as its lease lasts."""
    guard = Guarded(Scripted(), wanted={"x-key": "first"})

    async with listening(guard) as url:
        auth = GatewayAuth(headers={"X-Key": SECRET})
        host = host_of(f"{url}/mcp", auth, era="modern")
        host.secrets["client"] = "first"

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint()) as client,
        ):
            read = len(host.journal.secrets)
            await text_of(client, "up__echo", {"text": "hi"})
            await text_of(client, "up__echo", {"text": "hi"})
            assert len(host.journal.secrets) == read


async def test_a_value_that_is_no_header_names_gateway_and_header_alone() -> None:
    """What would split a request is not sent, and not shown."""
    async with listening(Scripted()) as url:
        host = host_of(f"{url}/mcp", GatewayAuth(headers={"X-Key": SECRET}), era="modern")
        host.secrets["client"] = "canary\r\nx-evil: 1"

        async with serving(host, CALLERS):
            await refresh_of(host)

    (line,) = logged(host, "mcp.gateway.down")
    assert "'X-Key' of the gateway 'up'" in str(line["failure"])
    assert "canary" not in str(line)


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "private_key_jwt"])
async def test_a_client_gets_a_token_once_for_many_calls(era: str, method: str) -> None:
    """By each way to prove itself; the token names the upstream as its resource."""
    key = ECKey.generate_key("P-256")

    async with authorization_server() as server:
        server.clients["spindle"] = KnownClient(method, CANARY, key)
        auth = machine(server, client_auth=method, scopes=("a", "b"))

        if method == "private_key_jwt":
            auth = machine(
                server, client_auth=method, client_secret=None, client_key=SECRET, scopes=("a", "b")
            )

        upstream = Handshaking(guarded=lambda app: Guarded(app, server))

        async with (
            upstream.running() as legacy,
            listening(Guarded(Scripted(), server)) as modern,
        ):
            url = legacy if era == "legacy" else f"{modern}/mcp"
            host = host_of(url, auth, era=era)

            if method == "private_key_jwt":
                host.secrets["client"] = key.as_pem(private=True).decode()

            async with (
                serving(host, CALLERS, wait_for=1) as served,
                connected(served.endpoint()) as client,
            ):
                for _ in range(3):
                    assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"

        (form,) = server.forms()

    assert (form["grant_type"], form["resource"], form["scope"]) == (
        "client_credentials",
        url,
        "a b",
    )


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_refused_token_is_replaced_once_and_the_call_works(era: str) -> None:
    """The upstream forgot every token; the caller notices nothing."""
    async with authorization_server() as server:
        upstream = Handshaking(guarded=lambda app: Guarded(app, server))

        async with (
            upstream.running() as legacy,
            listening(Guarded(Scripted(), server)) as modern,
        ):
            url = legacy if era == "legacy" else f"{modern}/mcp"
            host = host_of(url, machine(server), era=era)

            async with (
                serving(host, CALLERS, wait_for=1) as served,
                connected(served.endpoint()) as client,
            ):
                server.end_all()
                assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"

        assert 2 <= len(server.forms()) <= 3


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_an_upstream_that_refuses_every_token_is_asked_twice(era: str) -> None:
    """No loop: one new token, one more request, then the caller is told."""
    guards: list[Guarded] = []

    async with authorization_server() as server:

        def guard(app: ASGIApp) -> Guarded:
            guards.append(Guarded(app, server))
            return guards[-1]

        upstream = Handshaking(guarded=guard)

        async with upstream.running() as legacy, listening(guard(Scripted())) as modern:
            url = legacy if era == "legacy" else f"{modern}/mcp"
            host = host_of(url, machine(server), era=era)

            async with (
                serving(host, CALLERS, wait_for=1) as served,
                connected(served.endpoint()) as client,
            ):
                for each in guards:
                    each.refuses_all = True

                error = await error_of(client, "up__echo", {"text": "hi"})
                refusals = sum(each.refusals for each in guards)

    assert error.message == "The gateway 'up' refused our credential."
    # The gateway's own stream, which it listens on beside the call, may have been refused, too.
    assert 2 <= refusals <= 4
    assert CANARY not in str(error)


async def test_many_calls_at_once_fetch_one_token() -> None:
    """However many wait for it."""
    async with authorization_server() as server, listening(Guarded(Scripted(), server)) as url:
        host = host_of(f"{url}/mcp", machine(server), era="modern")

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint()) as client,
        ):
            server.end_all()
            before = len(server.forms())

            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(text_of, client, "up__echo", HI)

            assert len(server.forms()) == before + 1


async def test_the_server_is_found_by_what_the_upstream_says_of_itself() -> None:
    """RFC 9728, then RFC 8414; nothing of it is asked for twice."""
    async with authorization_server() as server:
        guard = Guarded(Scripted(), server)

        async with listening(guard) as url:
            auth = machine(server)
            auth = machine(issuer=None, client_id=auth.client_id)
            host = host_of(f"{url}/mcp", auth, era="modern")

            async with (
                serving(host, CALLERS, wait_for=1) as served,
                connected(served.endpoint()) as client,
            ):
                await text_of(client, "up__echo", {"text": "hi"})

        assert server.count("/.well-known/oauth-authorization-server") == 1
        assert server.forms()[0]["scope"] == "tools"


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"authorization_servers": ["http://10.0.0.1/"]}, "its address is not https"),
        ({"authorization_servers": ["https://10.0.0.1/"]}, "its address is not allowed"),
        ({"authorization_servers": ["https://169.254.169.254/x"]}, "its address is not allowed"),
        ({"authorization_servers": []}, "the upstream's metadata names none"),
        ({"authorization_servers": "http://127.0.0.1/"}, "the upstream's metadata names none"),
        ({"resource": "http://elsewhere/mcp"}, "the upstream's metadata is of another resource"),
        ({"resource": None}, "the upstream's metadata is of another resource"),
    ],
)
async def test_what_an_upstream_says_of_its_server_is_judged(
    metadata: dict[str, object], reason: str
) -> None:
    """Private addresses and other people's metadata lead nowhere."""
    async with authorization_server() as server:
        guard = Guarded(Scripted(), server, metadata=metadata)

        async with listening(guard) as url:
            host = host_of(f"{url}/mcp", machine(), era="modern")

            async with serving(host, CALLERS):
                await refresh_of(host)

    (line,) = logged(host, "mcp.gateway.down")
    said = f"The gateway 'up' got no token from its authorization server: {reason}."
    assert line["failure"] == said


@pytest.mark.parametrize(
    ("path", "answer", "reason"),
    [
        (
            "/.well-known/oauth-authorization-server",
            Answered(status=302, headers={"location": "http://169.254.169.254/"}),
            "it answered with the status 302",
        ),
        ("/.well-known/oauth-authorization-server", Answered(body=b"{"), "its answer is no JSON"),
        (
            "/.well-known/oauth-authorization-server",
            Answered(body=b"[]"),
            "its answer is no JSON object",
        ),
        (
            "/.well-known/oauth-authorization-server",
            Answered(
                body=b'{"issuer":"http://127.0.0.1:1","token_endpoint":"http://127.0.0.1:1/"}'
            ),
            "its metadata name another issuer",
        ),
        (
            "/.well-known/oauth-authorization-server",
            Answered(body=b'{"x":"' + b"y" * 300_000 + b'"}'),
            "its answer is too long",
        ),
        (
            "/token",
            Answered(status=400, body=b'{"error":"invalid_client","error_description":"CANARY"}'),
            "it answered invalid_client",
        ),
        ("/token", Answered(status=400, body=b'{"error":"CANARY"}'), "it refused"),
        ("/token", Answered(status=500, body=b"CANARY"), "it answered with the status 500"),
        ("/token", Answered(body=b"CANARY"), "its answer is no token"),
        ("/token", Answered(body=b"[]"), "its answer is no token"),
        ("/token", Answered(body=b'{"access_token":"a b"}'), "its answer has no token"),
        (
            "/token",
            Answered(body=b'{"access_token":"CANARY","token_type":"mac"}'),
            "its token is not of the type Bearer",
        ),
    ],
)
async def test_a_server_that_answers_badly_is_named_by_its_gateway_and_not_quoted(
    path: str, answer: Answered, reason: str
) -> None:
    """The reason is ours; its words, and our secret, are in no log."""
    async with authorization_server() as server, listening(Scripted()) as url:
        server.raw[path] = answer
        host = host_of(f"{url}/mcp", machine(server), era="modern")

        async with serving(host, CALLERS):
            await refresh_of(host)

    (line,) = logged(host, "mcp.gateway.down")
    said = f"The gateway 'up' got no token from its authorization server: {reason}."
    assert line["failure"] == said
    everything = str(host.journal.logged)
    assert not any(word in everything for word in ("CANARY", CANARY, SECRET_WORDS))


async def test_a_token_that_nobody_said_the_end_of_is_used_for_some_minutes() -> None:
    """And one that is about to end is replaced before it does."""
    async with authorization_server() as server, listening(Guarded(Scripted(), server)) as url:
        server.lifetime = None
        host = host_of(f"{url}/mcp", machine(server), era="modern")

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint()) as client,
        ):
            await text_of(client, "up__echo", {"text": "hi"})
            assert len(server.forms()) == 1


@pytest.mark.parametrize("has_issuer", [True, False])
async def test_an_assertion_is_for_the_issuer_else_for_the_endpoint(has_issuer: bool) -> None:
    """A server whose issuer is not said is known by its endpoint alone."""
    key = ECKey.generate_key("P-256")

    async with authorization_server() as server, listening(Guarded(Scripted(), server)) as url:
        server.clients["spindle"] = KnownClient("private_key_jwt", CANARY, key)
        place = {"issuer": server.url} if has_issuer else {"token_url": f"{server.url}/token"}
        auth = machine(
            None, client_auth="private_key_jwt", client_secret=None, client_key=SECRET, **place
        )
        host = host_of(f"{url}/mcp", auth, era="modern")
        host.secrets["client"] = key.as_pem(private=True).decode()

        async with serving(host, CALLERS, wait_for=1):
            assertion = server.forms()[0]["client_assertion"]

        claims = jwt.decode(assertion, key, algorithms=["ES256"]).claims
        assert claims["aud"] == (server.url if has_issuer else f"{server.url}/token")


@pytest.mark.parametrize(
    ("said", "taken", "method"),
    [
        ("client_secret_basic", ["client_secret_post"], "client_secret_post"),
        ("client_secret_post", ["private_key_jwt", "client_secret_basic"], "client_secret_basic"),
        ("client_secret_post", None, "client_secret_post"),
        ("client_secret_post", ["private_key_jwt"], "client_secret_post"),
    ],
)
async def test_a_secret_is_sent_the_way_that_the_server_takes(
    said: str, taken: list[str] | None, method: str
) -> None:
    """As the record says, unless the metadata have the other way and not that."""
    async with authorization_server() as server, listening(Guarded(Scripted(), server)) as url:
        server.clients["spindle"] = KnownClient(method, CANARY)
        server.metadata = {"token_endpoint_auth_methods_supported": taken}
        host = host_of(f"{url}/mcp", machine(server, client_auth=said), era="modern")

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint()) as client,
        ):
            assert await text_of(client, "up__echo", HI) == "hi"


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_token_that_lacks_a_scope_is_the_administrators_affair(era: str) -> None:
    """Nobody's consent would help, nor would another token like it."""
    guards: list[Guarded] = []

    async with authorization_server() as server:

        def guard(app: ASGIApp) -> Guarded:
            guards.append(Guarded(app, server, needed={"tools/call": "write"}))
            return guards[-1]

        upstream = Handshaking(guarded=guard)

        async with upstream.running() as legacy, listening(guard(Scripted())) as modern:
            url = legacy if era == "legacy" else f"{modern}/mcp"
            host = host_of(url, machine(server), era=era)

            async with (
                serving(host, CALLERS, wait_for=1) as served,
                connected(served.endpoint()) as client,
            ):
                error = await error_of(client, "up__echo", {"text": "hi"})

        assert len(server.forms()) == 1

    assert error.data["code"] == "mcp.upstream.insufficient_scope"
    assert "auth.scopes of the gateway" in error.message
