"""Upstreams that fail, clients that leave, tokens that are revoked: nothing stays open.

Left out: leaving a `/mcp` call of the protocol before 2026, which by that protocol cancels nothing.
"""

from __future__ import annotations

import json
import random
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import SocketAttribute

from spindle_conformance.upstreams.scripts import Script, split_text
from tests.journeys.gateway import (
    Gateway,
    configuration,
    create_token,
    in_force,
    spindle,
)
from tests.journeys.raw_http import Request, connected, send
from tests.journeys.surfaces import Rig, assert_refused, rig_of
from tests.support.spindle_process import running_spindle, until
from tests.support.upstream_process import running_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from anyio.abc import SocketStream

    from spindle_spi.types import JsonObject

UP = [
    *("plain", "hang", "hang-after-first", "html", "html-502", "error-500"),
    *("cut", "cut-before", "cut-head"),
]
SURFACES = ["chat", "stream", "turn", "modern", "legacy"]
FAILURES = {
    # what the upstream does: the model, and the status of an answer that has not begun
    "hangs": ("brief~hang", 504),
    "is not there": ("gone~plain", 503),
    "sends a web page": ("up~html", 502),
    "fails with a web page": ("up~html-502", 503),
    "fails": ("up~error-500", 502),
    "cuts before the first byte": ("up~cut-before", 502),
    "cuts after the head": ("up~cut-head", 502),
    "cuts after the first event": ("up~cut", 502),
}


def settings_for(upstream_url: str, trickle_url: str) -> JsonObject:
    """The journeys' gateway, with impatient and unreachable services and a tool for each model."""
    settings = configuration(upstream_url)
    llm, tools = settings["llm"], settings["model_tools"]
    assert isinstance(llm, dict)
    assert isinstance(tools, dict)
    services: dict[str, tuple[str, list[str], dict[str, float]]] = {
        "up": (upstream_url, UP, {}),
        "brief": (upstream_url, ["hang", "hang-after-first"], {"long_timeout_sec": 0.5}),
        "own": (trickle_url, ["trickle"], {}),
        "gone": ("http://127.0.0.1:9/v1", ["plain"], {}),
    }
    llm["keep_alive_seconds"] = 0.2
    llm["services"] = {
        name: {
            "provider_type": "openai",
            "urls": [url],
            "models": [{"name": model} for model in models],
            "upstream": dict(upstream),
        }
        for name, (url, models, upstream) in services.items()
    }
    tools.update(
        {
            tool_of(f"{name}~{model}"): {"model": f"{name}~{model}", "description": "Ask it."}
            for name, (_, models, _) in services.items()
            for model in models
        }
    )
    return settings


def tool_of(model: str) -> str:
    return "ask_" + model.replace("~", "_").replace("-", "_")


class Trickle:
    """An upstream that streams slowly, and knows how many it is streaming to."""

    def __init__(self) -> None:
        self.busy = 0
        self.served = 0

    async def serve(self, stream: SocketStream) -> None:
        """Answer one request after another until the client leaves."""
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    while b'"stream"' not in await stream.receive():
                        pass

                    self.busy += 1
                    self.served += 1

                    try:
                        await self._answer(stream)
                    finally:
                        self.busy -= 1

    async def _answer(self, stream: SocketStream) -> None:
        script = Script(model="trickle", content="x" * 40, pieces=split_text("x" * 40, 4))
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
        await stream.send(b"transfer-encoding: chunked\r\n\r\n")

        for event in script.stream_bytes(include_usage=True).split(b"\n\n"):
            await stream.send(b"%x\r\n%b\n\n\r\n" % (len(event) + 2, event))
            await anyio.sleep(0.03)

        await stream.send(b"0\r\n\r\n")


TRICKLE = Trickle()


@asynccontextmanager
async def running_rig(home: Path) -> AsyncGenerator[Rig]:
    async with (
        running_upstream() as upstream,
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, TRICKLE.serve)
        port = listener.extra(SocketAttribute.local_port)
        settings = settings_for(f"{upstream.url}/v1", f"http://127.0.0.1:{port}/v1")

        async with running_spindle(settings, home=home) as process:
            blue = await create_token(home, "--team", "blue", "--role", "developer")
            await in_force(process, blue)
            yield await rig_of(Gateway(process, upstream, blue, blue))

        group.cancel_scope.cancel()


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Rig]:
    async with running_rig(tmp_path_factory.mktemp("home")) as running:
        yield running


async def request_for(rig: Rig, name: str, model: str) -> Request:
    """Return the surface's good request, asked of a model; a turn's session is opened first."""
    if name == "turn":
        opening = rig.good("connect")
        body = opening.body.replace(b"up~plain", model.encode())
        assert (await send(rig.url, replace(opening, body=body))).status == 200

    good = rig.good(name)

    if name in ("modern", "legacy"):
        headers = {**good.headers, "mcp-name": tool_of(model)} if name == "modern" else good.headers
        body = good.body.replace(b"demo__echo", tool_of(model).encode())
        return replace(good, headers=headers, body=body.replace(b'"text"', b'"prompt"'))

    return replace(good, body=good.body.replace(b"up~plain", model.encode()))


async def endings(rig: Rig, before: dict[tuple[str | None, str], float]) -> dict[str, float]:
    """Return how the model calls ended that came after `before`."""
    after = await rig.settled()
    return {
        status: value - before.get((kind, status), 0)
        for (kind, status), value in after.items()
        if kind == "model" and value != before.get((kind, status), 0)
    }


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("name", SURFACES)
async def test_an_upstream_that_fails_is_told_and_settled(
    rig: Rig, name: str, failure: str
) -> None:
    """In the surface's shape, by its real status while nothing was sent; one call, one end."""
    model, status = FAILURES[failure]
    request = await request_for(rig, name, model)
    before = await rig.settled()
    answer = await send(rig.url, request)

    if name in ("modern", "legacy"):
        assert "went wrong here" not in answer.text
        assert "error" in answer.json or answer.json["result"]["isError"]  # type: ignore[index,call-overload]
    elif (name, model) == ("stream", "up~cut"):
        assert answer.status == 200
        assert "[DONE]" not in answer.text
        assert answer.json["error"]
    else:
        assert_refused(answer, name, status, "upstream")

    assert "<html" not in answer.text
    assert sum((await endings(rig, before)).values()) == 1
    assert "ok" not in await endings(rig, before)
    assert "lost" not in await endings(rig, before)
    await rig.check_serving(name)


@pytest.mark.parametrize("name", ["chat", "stream", "turn", "modern"])
async def test_a_client_that_leaves_before_the_first_byte(rig: Rig, name: str) -> None:
    """The upstream is let go, and the call is settled as cancelled."""
    request = await request_for(rig, name, "up~hang")
    before = await rig.settled()
    await rig.gateway.upstream.reset()

    async with connected(rig.url) as stream:
        await stream.send(request.encoded(rig.url))

        with anyio.fail_after(5):
            while not await rig.gateway.upstream.log():
                await anyio.sleep(0.01)

    assert await endings(rig, before) == {"cancelled": 1}
    (seen,) = await rig.gateway.upstream.log(ended=1)
    assert seen["client_left"] is True
    await rig.check_serving(name)


async def test_a_client_that_leaves_after_the_first_byte(rig: Rig) -> None:
    """The same, with part of the answer sent."""
    request = await request_for(rig, "stream", "up~hang-after-first")
    before = await rig.settled()
    await rig.gateway.upstream.reset()

    async with connected(rig.url) as stream:
        await stream.send(request.encoded(rig.url))
        await receive_until(stream.receive, b"data:")

    assert await endings(rig, before) == {"partial": 1}
    (seen,) = await rig.gateway.upstream.log(ended=1)
    assert seen["client_left"] is True
    await rig.check_serving("stream")


async def receive_until(receive: Callable[[], Awaitable[bytes]], wanted: bytes) -> bytes:
    came = b""

    with anyio.fail_after(10):
        while wanted not in came:
            came += await receive()

    return came


@pytest.mark.parametrize("name", ["stream", "modern"])
async def test_a_token_revoked_in_the_middle_cuts_the_stream(rig: Rig, name: str) -> None:
    """At the next event after a second at most; the end a client waits for never comes."""
    home = rig.gateway.process.home
    token = await create_token(home, "--team", f"cut-{name}", "--role", "developer")
    await in_force(rig.gateway.process, token)
    before = await rig.settled()
    request = await request_for(rig, name, "up~hang-after-first")

    if name == "modern":
        body = json.loads(rig.good("modern").body)
        body["params"]["name"] = "demo__slow"
        body["params"]["arguments"] = {"steps": 200, "delay": 0.25}
        body["params"]["_meta"]["progressToken"] = 1
        headers = {**request.headers, "mcp-name": "demo__slow"}
        request = replace(request, headers=headers, body=json.dumps(body).encode())

    request = replace(request, headers={**request.headers, "authorization": f"Bearer {token}"})

    async with connected(rig.url) as stream:
        await stream.send(request.encoded(rig.url))
        came = await receive_until(stream.receive, b"data:")
        await spindle(home, "token", "revoke", await rig.gateway.token_id(f"cut-{name}"))

        with anyio.fail_after(5):
            try:
                while True:
                    came += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass

    assert not came.endswith(b"0\r\n\r\n")
    assert b"[DONE]" not in came
    after = await rig.settled()
    assert sum(after.values()) == sum(before.values()) + 1
    assert not [key for key in after if key[1] == "ok" and after[key] != before.get(key, 0)]
    await rig.check_serving(name)


async def test_two_hundred_streams_whose_clients_leave_at_random_leave_nothing(rig: Rig) -> None:
    """No permit, no request and no upstream connection stays open; memory does not grow with it."""
    request = (await request_for(rig, "stream", "own~trickle")).encoded(rig.url)
    chance = random.Random(7)

    async def leave_somewhere(pieces: int) -> None:
        async with connected(rig.url) as stream:
            await stream.send(request)

            with anyio.fail_after(20):
                for _ in range(pieces):
                    await stream.receive()

    sizes: list[int] = []

    for _ in range(2):
        served, before = TRICKLE.served, await rig.settled()

        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(leave_somewhere, chance.randrange(6))

        after = await rig.settled()
        await until(lambda: not TRICKLE.busy)
        # Who leaves before the request is read was never a call.
        calls = sum(after.values()) - sum(before.values())
        assert 0 < TRICKLE.served - served <= calls <= 200
        assert not after.keys() & {("model", "lost"), ("model", "error")} - before.keys()
        assert (await rig.gateway.process.metrics())["spindle_http_requests_active"] == 1
        sizes.append(resident_kilobytes(rig.gateway.process.process.pid))

    assert sizes[1] - sizes[0] < 20_000
    await rig.check_serving("stream")


def resident_kilobytes(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
