"""How a request reaches its handler, or does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle.ingress.exchange import ConnectionCut
from spindle.ingress.routes import RouteSource
from spindle_spi.ingress import PUBLIC, IngressRoute
from tests.core.ingress.support import HOST, body, echo, error_code, make_harness, one_route

if TYPE_CHECKING:
    from spindle_spi.ingress import Call
    from spindle_spi.types import Message, Receive, Scope, Send


async def test_a_handler_gets_its_call() -> None:
    """Context, view key, trace and path parameters are there, and stand in the scope too."""
    seen: list[tuple[Call, Scope]] = []

    async def look(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        seen.append((call, scope))
        await echo(scope, receive, send, call)

    gate = one_route(look, path="/do/{what}")
    parent = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
    answer = await gate.ask(
        "POST",
        "/do/it",
        headers=(
            (b"host", b"127.0.0.1:8080"),
            (b"x-request-id", b"from-client"),
            (b"traceparent", parent),
        ),
    )
    (call, scope), (trace,) = seen[0], gate.callers.traces
    assert answer.status == 200
    assert call.view_key == "view of good"
    assert scope["spindle.call"] is call
    assert scope["path_params"] == {"what": "it"}
    assert trace.correlation_id == "from-client"
    assert trace.traceparent == parent.decode()
    assert answer.headers[b"x-request-id"] == call.request_id.encode()
    assert call.request_id.startswith("req_")
    assert len(call.request_id) == 28
    assert gate.callers.client_ips == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("correlation", "parent"),
    [
        (b"two words", b"00-" + b"0" * 32 + b"-" + b"b" * 16 + b"-01"),
        (b"x" * 129, b"00-" + b"a" * 32 + b"-" + b"0" * 16 + b"-01"),
        (b"a\xff", b"01-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"),
    ],
)
async def test_an_invalid_trace_of_the_client_is_not_kept(
    correlation: bytes, parent: bytes
) -> None:
    """What would spoil a log line or another trace is dropped, and the request goes on."""
    gate = one_route()
    headers = (HOST, (b"x-request-id", correlation), (b"traceparent", parent))
    assert (await gate.ask("POST", "/do", headers=headers)).status == 200
    assert gate.callers.traces[0].correlation_id is None
    assert gate.callers.traces[0].traceparent is None


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [(None, 401, "invalid_api_key"), ("bad", 401, "invalid_api_key"), ("poor", 403, None)],
)
async def test_a_route_is_denied_by_default(
    token: str | None, status: int, code: str | None
) -> None:
    """No credential, a wrong one, one without the permission: in the route's own shape."""
    answer = await one_route().ask("POST", "/do", token=token)
    assert answer.status == status
    assert error_code(answer.body) == (code or "permission_denied")
    assert answer.headers.get(b"www-authenticate") == (
        b'Bearer realm="spindle"' if status == 401 else None
    )


async def test_a_public_route_asks_for_nobody() -> None:
    """Not even a wrong credential keeps a caller out."""
    gate = one_route(is_public=True)
    assert (await gate.ask("POST", "/do", token="bad")).status == 200
    assert gate.callers.traces == []


@pytest.mark.parametrize(
    "headers",
    [
        ((b"x-api-key", b"good"),),
        ((b"authorization", b"bearer  good"),),
        ((b"authorization", b"Basic xyz"), (b"x-api-key", b"good")),
    ],
)
async def test_a_token_comes_as_bearer_or_as_api_key(
    headers: tuple[tuple[bytes, bytes], ...],
) -> None:
    """Both SDK families are served as they are."""
    answer = await one_route().ask("POST", "/do", token=None, headers=(HOST, *headers))
    assert answer.status == 200


async def test_a_decisive_header_said_twice_is_refused() -> None:
    """Somebody behind us might read the other one."""
    twice = (HOST, (b"authorization", b"Bearer good"))
    answer = await one_route().ask("POST", "/do", headers=twice)
    assert answer.status == 400
    assert error_code(answer.body) == "core.header_repeated"


async def test_a_forged_context_header_does_not_reach_the_handler() -> None:
    """Only the host speaks through it."""
    seen: list[tuple[bytes, bytes]] = []

    async def look(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        seen.extend(scope["headers"])
        await echo(scope, receive, send, call)

    await one_route(look).ask("POST", "/do", headers=(HOST, (b"x-spindle-context", b"forged")))
    assert [name for name, _ in seen] == [b"host", b"authorization"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"127.0.0.1", 200),
        (b"127.0.0.1:9", 200),
        (b"[::1]:9", 200),
        (b"GATE.example:444", 200),
        (b"gate.example", 421),
        (b"evil.example", 421),
        (b"127.0.0.1.evil.example:8080", 421),
        (b"::1", 421),
    ],
)
async def test_only_our_own_hosts_are_answered(host: bytes, status: int) -> None:
    """A name that was re-bound to this address is not ours."""
    answer = await one_route().ask("POST", "/do", headers=((b"host", host),))
    assert answer.status == status
    unknown = await one_route().ask("POST", "/nowhere", headers=((b"host", host),))
    assert unknown.status == (404 if status == 200 else 421)


async def test_a_request_without_host_is_refused() -> None:
    """It could be for anybody."""
    assert (await one_route().ask("POST", "/do", headers=())).status == 421


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (b"http://127.0.0.1:8080", 200),
        (b"https://APP.example", 200),
        (b"https://evil.example", 403),
        (b"null", 403),
    ],
)
async def test_an_origin_must_be_allowed(origin: bytes, status: int) -> None:
    """Our own, and those the operator names."""
    gate = one_route(origins=("https://app.example",))
    answer = await gate.ask("POST", "/do", headers=(HOST, (b"origin", origin)))
    assert answer.status == status


async def test_unknown_paths_and_methods_are_told_apart() -> None:
    """404 in the shape of the part of the path space, 405 in the path's own with Allow."""
    gate = one_route()
    unknown = await gate.ask("GET", "/mcp/nothing", token=None)
    assert unknown.status == 404
    assert json.loads(unknown.body)["error"]["code"] == -32602
    wrong = await gate.ask("DELETE", "/do", token=None)
    assert wrong.status == 405
    assert wrong.headers[b"allow"] == b"POST"
    assert error_code(wrong.body) == "method_not_allowed"
    assert gate.meter.total(
        "spindle_http_requests_total", route="unknown", method="other", status="405"
    )


async def test_a_named_server_is_resolved_before_anything_else() -> None:
    """A server that is absent or hidden is a 404, whatever the method's permission."""
    seen: list[str | None] = []

    async def look(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        seen.append(call.server_slug)
        await echo(scope, receive, send, call)

    gate = one_route(look, path="/servers/{slug}/mcp", server_param="slug")
    assert (await gate.ask("POST", "/servers/desk/mcp")).status == 200
    encoded = await gate.ask("POST", "/servers/a/b/mcp", raw_path=b"/servers/a%2Fb/mcp")
    assert encoded.status == 200
    assert (await gate.ask("POST", "/servers/other/mcp")).status == 404
    assert seen == ["desk", "a/b"]


async def test_draining_refuses_what_is_new_and_waits_for_what_is_not() -> None:
    """New requests get 503 and a closed connection; the last old one ends the wait."""
    gate = one_route()
    working, go_on, drained = anyio.Event(), anyio.Event(), anyio.Event()

    async def work(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        working.set()
        await go_on.wait()
        await echo(scope, receive, send, call)

    async def drain() -> None:
        await gate.ingress.drain()
        drained.set()

    gate.ingress.table.mounts[0].handler = work

    async with anyio.create_task_group() as group:
        group.start_soon(gate.ask, "POST", "/do")
        await working.wait()
        group.start_soon(drain)
        await anyio.wait_all_tasks_blocked()
        late = await gate.ask("POST", "/do")
        assert late.status == 503
        assert error_code(late.body) == "core.draining"
        assert late.headers[b"connection"] == b"close"
        assert int(late.headers[b"retry-after"]) >= 1
        assert not drained.is_set()
        go_on.set()

    assert drained.is_set()
    await gate.ingress.drain()


async def test_a_module_that_is_down_answers_503_in_its_own_shape() -> None:
    """Without being asked, and before anybody's credential is looked at."""
    gate = one_route()
    gate.ingress.table.suspend("sample")
    answer = await gate.ask("POST", "/do", token=None)
    assert answer.status == 503
    assert error_code(answer.body) == "core.module_unavailable"


async def test_every_request_is_measured() -> None:
    """Count, seconds and bytes, by route and not by path."""
    gate = one_route(path="/do/{what}")
    await gate.ask("POST", "/do/1", chunks=(b"12345",))
    await gate.ask("POST", "/do/2", chunks=(b"12345",))
    labels = {"route": "/do/{what}", "method": "POST", "status": "200"}
    assert gate.meter.total("spindle_http_requests_total", **labels) == 2
    assert gate.meter.total("spindle_http_response_bytes_total", **labels) == 10
    assert gate.meter.observed == ["spindle_http_request_seconds"] * 2


async def test_what_is_not_http_is_closed() -> None:
    """There is nothing here for a WebSocket."""

    async def receive() -> Message:
        raise NotImplementedError

    async def send(message: Message) -> None:
        raise NotImplementedError

    with pytest.raises(ConnectionCut):
        await one_route().ingress({"type": "websocket"}, receive, send)


async def test_every_answer_of_the_control_plane_has_security_headers() -> None:
    """What a route answers, what is refused, what is not there; over https one more."""
    route = IngressRoute(method="GET", path="/do", permission=PUBLIC, handler=echo)
    own = make_harness(RouteSource(owner="core", routes=[route]))
    answers = [
        await own.ask("GET", "/do"),
        await own.ask("GET", "/do", headers=((b"host", b"elsewhere"),)),
        await own.ask("POST", "/do"),
        await own.ask("GET", "/nothing"),
    ]
    assert [answer.status for answer in answers] == [200, 421, 405, 404]

    for answer in answers:
        assert answer.headers[b"x-content-type-options"] == b"nosniff"
        assert answer.headers[b"referrer-policy"] == b"no-referrer"
        assert answer.headers[b"cache-control"] == b"no-store"
        assert b"frame-ancestors 'none'" in answer.headers[b"content-security-policy"]
        assert b"strict-transport-security" not in answer.headers

    secure = await own.ask("GET", "/do", scheme="https")
    assert secure.headers[b"strict-transport-security"] == b"max-age=31536000"
    # Protocols of modules are for programs, and pay for nothing.
    assert b"x-content-type-options" not in (await one_route().ask("POST", "/do")).headers


async def test_a_routes_own_header_beats_the_general_one() -> None:
    """A page that needs scripts says so."""

    async def page(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, receive, call
        policy = (b"content-security-policy", b"default-src 'self'")
        await send({"type": "http.response.start", "status": 200, "headers": [policy]})
        await send(body(b"x"))

    route = IngressRoute(method="GET", path="/do", permission=PUBLIC, handler=page)
    answer = await make_harness(RouteSource(owner="core", routes=[route])).ask("GET", "/do")
    assert answer.headers[b"content-security-policy"] == b"default-src 'self'"
