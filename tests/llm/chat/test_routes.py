"""Session chats over HTTP: who may, what is told, how a session lives and ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle_conformance.upstreams.plays import PLAIN_TEXT
from spindle_spi.records import GatewaySpec, Kind, PublishedRecord, ToolSpec, Visibility
from tests.llm.chat.harness import chats
from tests.llm.chat.records import context_of, model, provider, server, tool

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject
    from tests.support.upstream_process import Upstream

pytestmark = pytest.mark.anyio

ADA, BOB = context_of("ada@x"), context_of("bob@x", teams=("blue",))
SERVICE = context_of(None, token_id="token-7", teams=())


def _connect(user_id: str, name: str = "sim~plain", **more: object) -> JsonObject:
    body = {"user_id": user_id, "llm": {"model": name}, **more}
    value: JsonObject = json.loads(json.dumps(body))
    return value


@pytest.mark.requirement("000-llmchat-connect")
async def test_connecting_tells_provider_and_tools_the_caller_sees(upstream: Upstream) -> None:
    """Tools of the named server are told as the model will say them; hidden ones are not."""
    records = [
        provider(upstream.url),
        model("plain"),
        server("desk", "demo-add", "demo-secret"),
        tool("demo-add"),
        tool("demo-secret", visibility=Visibility.TEAM, team="blue"),
        tool("demo-other"),
    ]

    async with chats(records, [ADA]) as world:
        body = _connect("ada@x", server={"slug": "desk"})
        response = await world.ask("ada@x", "POST", "/llmchat/connect", body)

    assert response.json() == {
        "status": "connected",
        "user_id": "ada@x",
        "provider": "sim",
        "tool_count": 1,
        "tools": ["demo-add"],
    }


@pytest.mark.requirement("000-llmchat-chat")
async def test_a_chat_answers_and_remembers(upstream: Upstream) -> None:
    """The second turn carries the first to the model."""
    async with chats([provider(upstream.url), model("echo")], [ADA]) as world:
        await world.connect("ada@x", "sim~echo")
        first = await world.say("ada@x", "one")
        await upstream.reset()
        second = await world.say("ada@x", "two")
        (seen,) = await upstream.log()

    answer = first.json()
    assert answer.pop("elapsed_ms") >= 0
    assert answer == {
        "user_id": "ada@x",
        "response": "one",
        "tool_used": False,
        "tools": [],
        "tool_invocations": 0,
    }
    assert second.json()["response"] == "two"
    assert isinstance(seen["body"], dict)
    assert seen["body"]["messages"] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "two"},
    ]


async def test_temperature_and_length_go_to_the_model(upstream: Upstream) -> None:
    """What connect says holds for every turn."""
    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        body = _connect("ada@x")
        body["llm"] = {"model": "sim~plain", "temperature": 0.5, "max_tokens": 9}
        await world.ask("ada@x", "POST", "/llmchat/connect", body)
        await upstream.reset()
        await world.say("ada@x", "hi")
        (seen,) = await upstream.log()

    assert isinstance(seen["body"], dict)
    assert (seen["body"]["temperature"], seen["body"]["max_tokens"]) == (0.5, 9)


@pytest.mark.requirement("001-config-global")
async def test_the_modules_own_defaults_hold_for_session_chats_too(upstream: Upstream) -> None:
    """As they are at the turn; a name without service is of the default service."""
    section: JsonObject = {"temperature": 0.7, "max_tokens": 64, "default_service": "sim"}

    async with chats([provider(upstream.url), model("plain")], [ADA], section=section) as world:
        await world.connect("ada@x", "plain")
        unknown = _connect("ada@x")
        unknown["llm"] = {"model": "nothing"}
        refused = await world.ask("ada@x", "POST", "/llmchat/connect", unknown)
        await upstream.reset()
        await world.say("ada@x", "hi")
        (seen,) = await upstream.log()

    assert refused.status_code == 404
    assert isinstance(seen["body"], dict)
    assert (seen["body"]["temperature"], seen["body"]["max_tokens"]) == (0.7, 64)


@pytest.mark.requirement("000-llmchat-disconnect")
async def test_disconnecting_is_idempotent_and_forgets(upstream: Upstream) -> None:
    """The second time there is nothing left; chatting needs a new connection."""
    body: JsonObject = {"user_id": "ada@x"}

    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        await world.connect("ada@x", "sim~plain")
        first = await world.ask("ada@x", "POST", "/llmchat/disconnect", body)
        second = await world.ask("ada@x", "POST", "/llmchat/disconnect", body)
        refused = await world.say("ada@x", "hi")

    assert first.json()["status"] == "disconnected"
    assert second.json()["status"] == "no_active_session"
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "llm.chat.no_session"


@pytest.mark.requirement("000-llmchat-status")
async def test_status_tells_whether_there_is_a_session_and_builds_none(upstream: Upstream) -> None:
    """Asking changes nothing."""
    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        before = await world.ask("ada@x", "GET", "/llmchat/status/ada@x")
        await world.connect("ada@x", "sim~plain")
        after = await world.ask("ada@x", "GET", "/llmchat/status/ada%40x")
        events = world.events()

    assert before.json() == {"user_id": "ada@x", "connected": False}
    assert after.json() == {"user_id": "ada@x", "connected": True}
    assert events == ["connected"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/llmchat/connect", {"user_id": "ada@x", "llm": {"model": "nothing"}}),
        ("POST", "/llmchat/chat", {"user_id": "ada@x", "message": ""}),
        ("POST", "/llmchat/disconnect", {"user_id": "ada@x"}),
        ("GET", "/llmchat/status/ada@x", None),
    ],
)
async def test_somebody_elses_user_id_is_refused_before_any_look_up(
    upstream: Upstream, method: str, path: str, body: JsonObject | None
) -> None:
    """Bob learns nothing of Ada's session, not even whether there is one."""
    async with chats([provider(upstream.url), model("plain")], [ADA, BOB]) as world:
        without = await world.ask("bob@x", method, path, body)
        await world.connect("ada@x", "sim~plain")
        response = await world.ask("bob@x", method, path, body)

    assert response.status_code == 403
    assert response.json()["error"]["code"] == "llm.chat.not_own_user"
    assert _anonymous(response.json()) == _anonymous(without.json())


def _anonymous(body: dict[str, JsonObject]) -> JsonObject:
    return {**body["error"], "traceId": ""}


async def test_a_service_token_is_its_own_user(upstream: Upstream) -> None:
    """A token without a person behind it chats under its id."""
    async with chats([provider(upstream.url), model("plain")], [SERVICE]) as world:
        await world.connect("token-7", "sim~plain")
        answer = await world.say("token-7", "hi")

    assert answer.json()["response"] == PLAIN_TEXT


async def test_a_hidden_model_is_an_absent_one(upstream: Upstream) -> None:
    """Byte for byte the same answer, whether the model is hidden or was never there."""
    hidden = model("plain", visibility=Visibility.TEAM, team="blue")

    async with chats([provider(upstream.url), hidden], [ADA]) as world:
        for_hidden = await world.ask("ada@x", "POST", "/llmchat/connect", _connect("ada@x"))
        world.host.records.remove(hidden)
        for_absent = await world.ask("ada@x", "POST", "/llmchat/connect", _connect("ada@x"))

    assert for_hidden.status_code == 404
    assert _anonymous(for_hidden.json()) == _anonymous(for_absent.json())


async def test_a_hidden_server_is_an_absent_one(upstream: Upstream) -> None:
    """The same holds for virtual servers, by slug, name and id."""
    hidden = server("desk", visibility=Visibility.TEAM, team="blue")
    choices: list[JsonObject] = [{"slug": "desk"}, {"name": "Server desk"}, {"id": hidden.id}]

    async with chats([provider(upstream.url), model("plain"), hidden], [ADA]) as world:
        for choice in choices:
            body = _connect("ada@x", server=choice)
            for_hidden = await world.ask("ada@x", "POST", "/llmchat/connect", body)
            world.host.records.remove(hidden)
            for_absent = await world.ask("ada@x", "POST", "/llmchat/connect", body)
            world.host.records.add(hidden)

            assert for_hidden.status_code == 404
            assert _anonymous(for_hidden.json()) == _anonymous(for_absent.json())


async def test_what_a_token_lacks_is_refused(upstream: Upstream) -> None:
    """A visible server needs servers.use; a visible model needs llm.invoke."""
    reader = context_of("eve@x", permissions=("llm.invoke", "servers.read", "tools.read"))
    records = [provider(upstream.url), model("plain"), server("desk")]

    async with chats(records, [reader]) as world:
        body = _connect("eve@x", server={"slug": "desk"})
        refused = await world.ask("eve@x", "POST", "/llmchat/connect", body)
        connected = await world.ask("eve@x", "POST", "/llmchat/connect", _connect("eve@x"))

    assert refused.status_code == 403
    assert connected.json()["provider"] is None


@pytest.mark.parametrize(
    ("server_choice", "code"),
    [
        ({"transport": "stdio", "url": "run me"}, "llm.chat.stdio_refused"),
        ({"transport": "stdio"}, "llm.chat.stdio_refused"),
        ({"url": "http://x", "auth_token": "t"}, "llm.chat.auth_token_unsupported"),
    ],
)
async def test_what_a_caller_may_not_bring_is_refused(
    upstream: Upstream, server_choice: JsonObject, code: str
) -> None:
    """No programs are started and no tokens kept."""
    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        body = _connect("ada@x", server=server_choice)
        response = await world.ask("ada@x", "POST", "/llmchat/connect", body)

    assert response.status_code == 400
    assert response.json()["error"]["code"] == code
    assert world.host.journal.opened == []


async def test_a_server_given_by_url_becomes_a_gateway_of_the_callers_own(
    upstream: Upstream,
) -> None:
    """Its tools are offered under their upstream names; it ends with its request."""
    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        mcp = world.host.services_for("mcp").catalog
        opened = mcp.subscribe([Kind.GATEWAY])

        async def discover() -> None:
            name = (await anext(opened)).record.name
            spec = ToolSpec(gateway=name, upstream_name="search")
            found = PublishedRecord(kind=Kind.TOOL, name=f"{name}-search", spec=spec)
            await mcp.publish("mcp", f"gateway:{name}", [found])

        async with anyio.create_task_group() as group:
            group.start_soon(discover)
            body = _connect("ada@x", server={"url": "http://tools.example/mcp"})
            response = await world.ask("ada@x", "POST", "/llmchat/connect", body)
            assert response.json()["tools"] == ["search"]

        (gateway,) = world.host.journal.opened

    assert isinstance(gateway.spec, GatewaySpec)
    assert (gateway.spec.transport, gateway.spec.url) == (
        "streamable_http",
        "http://tools.example/mcp",
    )
    assert world.host.records.find(Kind.GATEWAY, gateway.name) is None


async def test_a_server_that_shows_no_tools_in_time_is_not_reachable(upstream: Upstream) -> None:
    """The wait is bounded by the operator's setting."""
    settings: JsonObject = {"connect_timeout": 0.05}

    async with chats([provider(upstream.url), model("plain")], [ADA], settings) as world:
        body = _connect("ada@x", server={"url": "http://tools.example/mcp"})
        response = await world.ask("ada@x", "POST", "/llmchat/connect", body)

    assert response.status_code == 503
    assert response.json()["error"]["code"] == "llm.chat.server_unreachable"


@pytest.mark.parametrize("path", ["/llmchat/connect", "/llmchat/chat"])
async def test_streaming_is_refused_by_name(upstream: Upstream, path: str) -> None:
    """A client that asks for a stream is told, not answered in another form."""
    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        extra: JsonObject = {"message": "hi"} if path.endswith("/chat") else {"llm": {}}
        body: JsonObject = {"user_id": "ada@x", "streaming": True, **extra}
        response = await world.ask("ada@x", "POST", path, body)

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "llm.chat.streaming_unsupported"


@pytest.mark.parametrize("message", ["", "  \n"])
async def test_an_empty_message_is_refused(upstream: Upstream, message: str) -> None:
    """Nothing is asked and nothing written down."""
    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        await world.connect("ada@x", "sim~plain")
        response = await world.say("ada@x", message)
        events = world.events()

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "llm.chat.empty"
    assert events == ["connected"]


async def test_a_request_without_a_model_needs_a_default(upstream: Upstream) -> None:
    """Where the operator named none, the request must."""
    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        body: JsonObject = {"user_id": "ada@x", "llm": {}}
        response = await world.ask("ada@x", "POST", "/llmchat/connect", body)

    assert response.status_code == 400
    assert response.json()["error"]["message"] == "llm.model names no model."


async def test_reconnecting_replaces_the_session(upstream: Upstream) -> None:
    """The new session remembers nothing of the old one."""
    async with chats([provider(upstream.url), model("echo"), model("plain")], [ADA]) as world:
        await world.connect("ada@x", "sim~echo")
        await world.say("ada@x", "one")
        await world.connect("ada@x", "sim~plain")
        events = world.events()

    assert events == ["connected"]


async def test_a_session_whose_model_or_server_is_gone_is_unusable(upstream: Upstream) -> None:
    """503 and a word that connecting again helps; the session is still there."""
    desk, plain = server("desk"), model("plain")

    async with chats([provider(upstream.url), plain, desk], [ADA]) as world:
        await world.connect("ada@x", "sim~plain", {"slug": "desk"})
        world.host.records.remove(plain)
        without_model = await world.say("ada@x", "hi")
        world.host.records.add(plain)
        world.host.records.remove(desk)
        without_server = await world.say("ada@x", "hi")

    for response in (without_model, without_server):
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "llm.chat.session_unusable"


async def test_bad_bodies_are_refused_and_the_next_request_is_answered(upstream: Upstream) -> None:
    """Each is 400 in the envelope's form; nothing of the body comes back."""
    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        for body in (b"", b"{", b"[]", b'{"user_id": "sk-secret"', b"\xff"):
            response = await world.ask("ada@x", "POST", "/llmchat/connect", body)

            assert response.status_code == 400
            assert "sk-secret" not in response.text

        await world.connect("ada@x", "sim~plain")


async def test_nobody_is_asked_who_they_are(upstream: Upstream) -> None:
    """Without a token no route of the chat is reached."""
    async with chats([provider(upstream.url)], [ADA]) as world:
        response = await world.ask("nobody", "GET", "/llmchat/status/ada@x")

    assert response.status_code == 401
