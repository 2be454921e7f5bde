from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.abc import SocketAttribute

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.surface.dialogue.peers import InvocationPeer
from spindle_mcp.upstream.connections.base import Endpoint
from spindle_mcp.upstream.connections.modern import open_modern
from spindle_spi import config_secrets
from spindle_spi.admission import Limits, Status
from spindle_spi.errors import InvalidArgument, UpstreamError, UpstreamTimeout
from spindle_spi.secret import SecretRef
from tests.mcp.support.clients import ERAS, connected, error_of, names, text_of
from tests.mcp.support.records import gateway, logged
from tests.mcp.support.requests import tool_call
from tests.mcp.support.serving import serving
from tests.mcp.support.upstream import ECHO, OBJECT, Scripted, scripted

if TYPE_CHECKING:
    from anyio.abc import SocketStream

    from spindle_spi.invocation import Progress
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a")}
eras = pytest.mark.parametrize("era", ERAS)


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": OBJECT, **fields}


async def until(condition: Any) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


@eras
async def test_tools_of_every_page_are_listed_and_called(era: str) -> None:
    """Whatever era the client speaks."""
    script = Scripted(tools=[ECHO, tool("b"), tool("c"), tool("d"), tool("e")])
    host = FakeHost()

    async with scripted(script) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=5) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            assert await names(client) == [f"up__{n}" for n in ("b", "c", "d", "e", "echo")]
            assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"

    headers, sent = script.calls()[0]
    params: Any = sent["params"]
    assert headers["mcp-method"] == "tools/call"
    assert headers["mcp-name"] == "echo"
    assert params["_meta"]["io.modelcontextprotocol/clientInfo"]["name"] == "spindle"
    assert "progressToken" not in params["_meta"]


@eras
async def test_progress_of_an_upstream_is_relayed(era: str) -> None:
    """With its words, when nobody judges answers."""
    host, heard = FakeHost(), list[tuple[float, str | None]]()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    async with scripted(Scripted(tools=[tool("steps")])) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            await client.call_tool("up__steps", {}, progress_callback=hear)

    assert heard == [(1.0, "s1"), (2.0, "s2")]


@eras
async def test_a_cancelled_call_leaves_the_upstream(era: str) -> None:
    """The upstream sees the connection close."""
    host, script = FakeHost(), Scripted(tools=[tool("hang"), ECHO])

    async with scripted(script) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            async with anyio.create_task_group() as group:

                async def ask() -> None:
                    await client.call_tool("up__hang", {})

                group.start_soon(ask)

                with anyio.fail_after(5):
                    await script.reached.wait()

                group.cancel_scope.cancel()

            with anyio.fail_after(5):
                await script.left.wait()

            await until(lambda: host.journal.settled)
            assert await text_of(client, "up__echo", {"text": "next"}) == "next"

    assert host.journal.settled[0].outcome.status is Status.CANCELLED


async def test_arguments_are_mirrored_into_the_headers_a_tool_asks_for() -> None:
    """As its upstream may check them."""
    schema: JsonObject = {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    }
    host, script = FakeHost(), Scripted(tools=[{"name": "echo", "inputSchema": schema}])

    async with scripted(script) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint()) as client,
        ):
            await names(client)
            await client.call_tool("up__echo", {"region": "eu"})

    assert script.calls()[0][0]["mcp-param-region"] == "eu"


async def test_an_upstream_gets_its_own_credential_never_the_callers() -> None:
    """The caller's token is for this gateway alone."""
    host, script = FakeHost(secrets={"k": "upstream-key"}), Scripted()

    async with scripted(script) as url:
        host.records.add(gateway("up", url=url, credential=SecretRef(name="k")))

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint()) as client,
        ):
            await client.call_tool("up__echo", {"text": "hi"})

    assert {headers["authorization"] for headers, _ in script.requests} == {"Bearer upstream-key"}


@eras
@pytest.mark.parametrize(
    ("name", "code", "ours"),
    [
        ("html", -32013, "mcp.upstream.invalid_answer"),
        ("deny", -32013, "mcp.upstream.credential_refused"),
        ("fail", -32013, "mcp.upstream.http_error"),
        ("cut", -32013, "mcp.upstream.unreachable"),
        ("refuse", -32013, "mcp.upstream.protocol_error"),
        ("dislike", -32602, "mcp.upstream.invalid_params"),
        ("odd", -32013, "mcp.upstream.invalid_result"),
        ("big", -32013, "mcp.upstream.invalid_answer"),
        ("flood", -32013, "mcp.upstream.invalid_answer"),
        ("other", -32013, "mcp.upstream.invalid_answer"),
        ("garbage", -32013, "mcp.upstream.invalid_answer"),
        ("array", -32013, "mcp.upstream.invalid_answer"),
        ("nothing", -32013, "mcp.upstream.invalid_answer"),
        ("elsewhere", -32013, "mcp.upstream.http_error"),
        ("bad", -32013, "mcp.upstream.http_error"),
        ("slowly", -32011, "mcp.upstream.rate_limited"),
        ("need", -32021, "mcp.capability_required"),
    ],
)
async def test_a_bad_answer_is_an_error_that_shows_nothing_of_it(
    name: str, code: int, ours: str, era: str
) -> None:
    """The gateway is named, what it said is not; and the next call works."""
    host = FakeHost()

    async with scripted(Scripted(tools=[tool(name), ECHO])) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2, config={"max_result_bytes": 50_000}) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            error = await error_of(client, f"up__{name}", {})
            assert await text_of(client, "up__echo", {"text": "next"}) == "next"

    assert (error.code, error.data["code"]) == (code, ours)
    assert "secret" not in f"{error.message}{error.data}"
    assert [settled.outcome.status for settled in host.journal.settled] == [Status.ERROR, Status.OK]


@eras
async def test_a_needed_capability_is_named_as_the_protocol_says(era: str) -> None:
    """The client learns which one."""
    host = FakeHost()

    async with scripted(Scripted(tools=[tool("need")])) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            error = await error_of(client, "up__need", {})

    assert error.data["requiredCapabilities"] == {"sampling": {}}


@eras
async def test_an_upstream_that_hangs_is_given_up_in_time(era: str) -> None:
    """After the gateway's own timeout."""
    host, script = FakeHost(), Scripted(tools=[tool("hang")])
    host.limits = Limits(timeout=0.2)

    async with scripted(script) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            with anyio.fail_after(5):
                error = await error_of(client, "up__hang", {})

            await until(script.left.is_set)

    assert error.data["code"] == "upstream_timeout"


@eras
async def test_structured_content_of_any_kind_reaches_who_can_carry_it(era: str) -> None:
    """Before 2026 it has to be an object, so there only the content parts say it."""
    host = FakeHost()

    async with scripted(Scripted(tools=[tool("list")])) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            result: Any = await client.call_tool("up__list", {})

    assert result.structured_content == (None if era == "legacy" else [1])
    assert result.content[0].text == "[1]"


@eras
async def test_a_bad_tool_is_left_out_and_told_of(era: str) -> None:
    """The others are listed."""
    bad: list[JsonObject] = [
        {"name": "schemaless"},
        {"name": "icon", "inputSchema": OBJECT, "icons": [{"src": 7}]},
        {"inputSchema": OBJECT},
        {"name": "endless", "inputSchema": {"type": "object", "$ref": "#"}},
    ]
    host = FakeHost()

    async with scripted(Scripted(tools=[*bad, ECHO])) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            listed = await names(client)

    assert "up__echo" in listed
    assert listed == ["up__echo"]
    told = {str(f["tool"]) for f in logged(host, "mcp.tool.left_out")}
    assert told == {"schemaless", "icon", "", "endless"}
    assert {left.name for left in host.journal.published[-1].left_out} == told


@eras
async def test_a_tool_of_one_era_is_shown_to_that_era_alone(era: str) -> None:
    """A definition the other era has no word for spoils nobody's list."""
    only: JsonObject = {"name": "only", "inputSchema": OBJECT, "outputSchema": {"type": "array"}}
    host = FakeHost()

    async with scripted(Scripted(tools=[only, ECHO])) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            listed = await names(client)

    assert listed == (["up__echo"] if era == "legacy" else ["up__echo", "up__only"])
    assert [left.is_partial for left in host.journal.published[-1].left_out] == [True]


async def test_a_judged_address_is_used_and_the_name_not_resolved_again() -> None:
    """The name stands in the request all the same."""
    script = Scripted()

    async with scripted(script) as url:
        named = url.replace("127.0.0.1", "upstream.invalid")
        endpoint = Endpoint(gateway="up", url=named, version="1", address="127.0.0.1")

        async with open_modern(endpoint) as upstream:
            assert len(await upstream.list_all("tools/list", "tools")) == 1

    assert script.requests[0][0]["host"].startswith("upstream.invalid:")


async def test_numbers_that_are_not_json_are_refused_before_they_are_sent() -> None:
    """They would be words no other parser knows."""
    script = Scripted()

    async with scripted(script) as url:
        endpoint = Endpoint(gateway="up", url=url, version="1")

        async with open_modern(endpoint) as upstream:
            with pytest.raises(InvalidArgument):
                await upstream.request(tool_call("echo", {"n": float("nan")}, silence=5))

    assert not script.requests


async def test_another_credential_is_used_when_the_lease_of_the_first_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over the same connection; tools are not read any differently."""
    monkeypatch.setattr(config_secrets, "LEASE_SECONDS", 0.05)
    host, script = FakeHost(secrets={"k": "first"}), Scripted()

    async with scripted(script) as url:
        host.records.add(gateway("up", url=url, credential=SecretRef(name="k")))

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint()) as client,
        ):
            host.secrets["k"] = "second"

            await until(lambda: script.requests[-1][0]["authorization"] == "Bearer second")

            await client.call_tool("up__echo", {"text": "hi"})

    assert script.calls()[0][0]["authorization"] == "Bearer second"
    assert len(logged(host, "mcp.gateway.connected")) == 1


async def test_a_client_that_does_not_take_progress_holds_no_call() -> None:
    """It could keep the upstream's connection for as long as it likes."""

    async def never(update: Progress) -> None:
        await anyio.sleep_forever()

    async with scripted(Scripted(tools=[tool("steps")])) as url:
        endpoint = Endpoint(gateway="up", url=url, version="1")
        request = tool_call("steps", silence=0.2)

        async with open_modern(endpoint) as upstream:
            with anyio.fail_after(5), pytest.raises(UpstreamTimeout, match="'up'"):
                await upstream.request(
                    replace(request, peer=InvocationPeer({}, never), wants_progress=True)
                )


async def test_a_call_without_an_answer_is_not_sent_again() -> None:
    """It may have been carried out; what only reads is asked once more."""
    requests: list[bytes] = []

    async def close_at_once(stream: SocketStream) -> None:
        async with stream:
            requests.append(await stream.receive())

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, close_at_once)
        port = listener.extra(SocketAttribute.local_port)
        endpoint = Endpoint(gateway="up", url=f"http://127.0.0.1:{port}/mcp", version="1")

        async with open_modern(endpoint) as upstream:
            with pytest.raises(UpstreamError, match="'up'"):
                await upstream.request(tool_call("echo", silence=5))

            assert len(requests) == 1

            with pytest.raises(UpstreamError, match="'up'"):
                await upstream.list_all("tools/list", "tools")

        group.cancel_scope.cancel()

    assert len(requests) == 3
