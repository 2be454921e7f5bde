"""Two gateways on one PostgreSQL database: what is changed at one is so at the other in a second.

The other one is under load all the time, and not one of its answers may be older than that.
"""

from __future__ import annotations

import json
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import httpx2

from spindle_spi.policy import ROLES
from spindle_spi.types import JsonObject
from tests.support.services import needs_postgresql
from tests.support.spindle_process import SpindleProcess, running_spindle, spindle_command, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path


API = "/admin/api/v1"
BOUND_SECONDS = 1.0
CALLS = 1000
WORKERS = 6
CHAT: JsonObject = {"model": "mock~echo", "messages": [{"role": "user", "content": "blue heron"}]}


@dataclass(slots=True)
class Pair:
    """The gateway that is changed, and the one that is watched."""

    one: SpindleProcess
    other: SpindleProcess
    admin: httpx2.AsyncClient
    """At the first."""

    async def make(self, path: str, body: JsonObject) -> JsonObject:
        answer = await self.admin.post(f"{API}/{path}", json=body)
        assert answer.status_code == 201, answer.text
        made: JsonObject = answer.json()
        return made

    async def change(self, method: str, path: str, body: JsonObject | None = None) -> None:
        answer = await self.admin.request(method, f"{API}/{path}", json=body)
        assert answer.status_code in (200, 201, 204), answer.text


@dataclass(slots=True)
class Load:
    """Calls that go on and on; the answers of those begun after a moment."""

    client: httpx2.AsyncClient
    method: str
    path: str
    body: JsonObject | None = None
    since: float = float("inf")
    late: list[int] = field(default_factory=list[int])
    early: int = 0

    async def run(self) -> None:
        while True:
            begun = time.monotonic()
            answer = await self.client.request(self.method, self.path, json=self.body)

            if begun > self.since:
                self.late.append(answer.status_code)
            else:
                self.early += 1

    async def through(self, change: Callable[[], Awaitable[None]], before: int, after: int) -> None:
        """Change something in the middle of the load, and look at what comes a second later."""
        first = await self.client.request(self.method, self.path, json=self.body)
        assert first.status_code == before, first.text

        async with anyio.create_task_group() as group:
            for _ in range(WORKERS):
                group.start_soon(self.run)

            await change()
            self.since = time.monotonic() + BOUND_SECONDS
            await until(lambda: len(self.late) >= CALLS, 60)
            group.cancel_scope.cancel()

        assert self.early
        assert set(self.late) == {after}, f"{self.late.count(before)} old answers"


@asynccontextmanager
async def pair(home: Path, url: str) -> AsyncGenerator[Pair]:
    settings = {"store": {"url": url}}

    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(running_spindle(settings, home=home / "one"))
        other = await stack.enter_async_context(running_spindle(settings, home=home / "other"))
        admin = await stack.enter_async_context(one.client())
        yield Pair(one, other, admin)


@needs_postgresql
async def test_a_change_is_in_force_in_every_process_within_a_second(
    tmp_path: Path, postgresql_database: str
) -> None:
    """A record, a plugin, a role, a token: a thousand calls after each, and no old answer."""
    async with pair(tmp_path, postgresql_database) as both:
        await both.make("roles", {"name": "reader", "permissions": list(ROLES["developer"])})
        made = await both.make("tokens", {"name": "t", "role": "reader", "teams": ["red"]})
        await anyio.sleep(BOUND_SECONDS)

        async with both.other.client(str(made["token"])) as client:
            model = Load(client, "GET", "/v1/models/mock~echo")
            await model.through(
                lambda: both.change("PATCH", "models/mock~echo", {"visibility": "private"}),
                200,
                404,
            )
            await both.change("PATCH", "models/mock~echo", {"visibility": "public"})
            await anyio.sleep(BOUND_SECONDS)
            plugin: JsonObject = {
                "plugin": "regex",
                "name": "words",
                "config": {"rules": [{"name": "w", "pattern": "blue heron", "action": "deny"}]},
            }
            chat = Load(client, "POST", "/v1/chat/completions", CHAT)
            await chat.through(lambda: both.change("POST", "plugins", plugin), 200, 403)
            role = Load(client, "GET", "/v1/models")
            await role.through(
                lambda: both.change("PATCH", "roles/reader", {"permissions": ["llm.invoke"]}),
                200,
                403,
            )
            token = Load(client, "GET", "/v1/models")
            await token.through(lambda: both.change("DELETE", f"tokens/{made['id']}"), 403, 401)


async def test_a_signal_and_a_command_reload_a_gateway(tmp_path: Path) -> None:
    """A good file is in force at once; of a bad one every fault is told, and nothing changes."""
    service = {"provider_type": "openai", "urls": ["http://127.0.0.1:9/v1"]}

    async with running_spindle({}, home=tmp_path) as gateway, gateway.client() as client:

        async def write(count: int, **more: object) -> None:
            models = [{"name": f"m{number}"} for number in range(count)]
            services = {"up": {**service, "models": models}}
            text = json.dumps({"llm": {"services": services}, **more})
            await anyio.Path(tmp_path / "spindle.yaml").write_text(text)

        async def models() -> int:
            listed = (await client.get("/v1/models")).json()["data"]
            return sum(model["id"].startswith("up~") for model in listed)

        await write(2)
        gateway.process.send_signal(signal.SIGHUP)

        with anyio.fail_after(10):
            while await models() != 2:
                await anyio.sleep(0.05)

        await write(3, server={"drain_seconds": 5})
        done = await spindle_command("reload", "--home", str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert "records" in done.stdout
        assert "Restart the gateway for: server.drain_seconds." in done.stdout
        assert await models() == 3

        await write(4, server={"prot": 1}, srever={})
        refused = await spindle_command("reload", "--json", "--home", str(tmp_path))
        assert refused.returncode == 1
        assert "server.prot" in refused.stderr
        assert "srever" in refused.stderr
        gateway.process.send_signal(signal.SIGHUP)
        await until(lambda: "everything stays as it was" in gateway.stderr)
        assert await models() == 3

    away = await spindle_command("reload", "--home", str(tmp_path))
    assert away.returncode == 1
    assert "spindle serve" in away.stderr
