"""One tool, called by an MCP client and by a model in a chat: the page, carried out."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from spindle_conformance.upstreams.server import Play, ScriptedServer, Seen
from spindle_spi.types import Json, JsonObject
from tests.journeys.gateway import spindle
from tests.support.otlp_collector import OtlpCollector, running_collector
from tests.support.spindle_process import SpindleProcess, running_spindle
from tests.support.upstream_process import running_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

PAGE = (Path(__file__).resolve().parents[2] / "docs/two-doors.md").read_text()
BLOCKS = re.compile(r"^```(yaml|json)\n(.*?)^```", re.MULTILINE | re.DOTALL)
MODEL, JUDGE, COLLECTOR = (f"http://127.0.0.1:{port}" for port in (9001, 9002, 4318))
TRACES = {"mcp": "a" * 32, "chat": "b" * 32}
CALLER = "c" * 16
REFUSED = "13131313"
"""What the judge of the page does not let pass as an argument."""


@dataclass(slots=True)
class Judge:
    """The webhook's other end: what it was shown, and what it refuses."""

    shown: list[JsonObject] = field(default_factory=list[JsonObject])

    def __call__(self, seen: Seen) -> Play:
        """Judge one phase of one call."""
        asked: JsonObject = json.loads(seen.body)
        self.shown.append(asked)
        texts = [segment["text"] for segment in _objects(asked["segments"])]
        is_refused = asked["phase"] == "pre_invoke" and REFUSED in texts
        verdict: JsonObject = {"verdict": "deny", "rule": "unlucky"} if is_refused else {}
        return Play(body=json.dumps({"verdict": "allow", **verdict}).encode())

    def take(self) -> list[JsonObject]:
        """Return what was shown since the last time, without what differs from call to call."""
        shown, self.shown = self.shown, []
        return [
            {
                "phase": one["phase"],
                "target": one["target"],
                "segments": [
                    {
                        "pointer": segment["pointer"],
                        "kind": segment["kind"],
                        "text": segment["text"],
                    }
                    for segment in _objects(one["segments"])
                ],
            }
            for one in shown
        ]


@dataclass(slots=True)
class House:
    """A gateway with both doors, its judge, and who watches."""

    process: SpindleProcess
    judge: Judge
    collector: OtlpCollector
    client: httpx2.AsyncClient
    token: str
    token_id: str

    async def by_mcp(self, a: int, b: int) -> str:
        """Call the tool as an MCP client does."""
        headers = {"Authorization": f"Bearer {self.token}", **_trace("mcp")}

        async with httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http:
            transport = streamable_http_client(f"{self.process.url}/mcp", http_client=http)

            async with Client(transport, mode="2026-07-28") as client:
                try:
                    result = await client.call_tool("demo__add", {"a": a, "b": b})
                except MCPError as exc:
                    return str(exc.data["code"])

        assert not result.is_error
        return "ok"

    async def by_chat(self, a: int, b: int) -> str:
        """Have a model call it in a session chat."""
        said = await self.client.post(
            "/llmchat/chat",
            json={"user_id": self.token_id, "message": json.dumps({"a": a, "b": b})},
            headers=_trace("chat"),
        )
        assert said.status_code == 200, said.text
        assert said.json()["tools"] == ["demo__add"]
        return "ok"

    async def audited(self, number: int) -> list[JsonObject]:
        """Wait for so many entries on the tool, oldest first; return what is the same each time."""
        with anyio.fail_after(10):
            while True:
                answer = await self.client.get(
                    "/admin/api/v1/audit", params={"target": "demo__add", "limit": 100}
                )
                assert answer.status_code == 200, answer.text
                items: list[JsonObject] = answer.json()["items"]

                if len(items) >= number:
                    break

                await anyio.sleep(0.02)

        assert len(items) == number
        entries = sorted(items, key=lambda item: str(item["at"]))
        assert all(entry["token_id"] == self.token_id for entry in entries)
        assert all(entry["request_id"] for entry in entries)
        names = ("action", "target_kind", "target", "decision", "reason")
        return [{name: entry[name] for name in names} for entry in entries]

    async def traced(self, door: str) -> list[str]:
        """Wait for the spans of the tool's call in a door's trace: their names from the root on."""
        with anyio.fail_after(20):
            while not (chain := self._chain(TRACES[door])):
                await anyio.sleep(0.02)

        return chain

    def _chain(self, trace: str) -> list[str]:
        spans = {
            span.span_id: span for span in self.collector.spans if span.trace_id.hex() == trace
        }
        span = next((one for one in spans.values() if one.name == "tools/call demo__add"), None)
        names: list[str] = []

        while span is not None:
            names.insert(0, span.name)

            if span.parent_span_id.hex() == CALLER:
                return names

            span = spans.get(span.parent_span_id)

        return []


def _trace(door: str) -> dict[str, str]:
    return {"traceparent": f"00-{TRACES[door]}-{CALLER}-01"}


def _objects(value: Json) -> list[JsonObject]:
    assert isinstance(value, list)
    return [one for one in value if isinstance(one, dict)]


async def _serve(
    handler: Callable[[Seen], Play],
    *,
    task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    await ScriptedServer(handler=handler).serve(0, task_status.started)


@asynccontextmanager
async def open_house(home: Path, config: str) -> AsyncGenerator[House]:
    """Run the gateway of the page, connected for a chat."""
    judge = Judge()

    with running_collector() as collector:
        async with running_upstream() as upstream, anyio.create_task_group() as group:
            judged: str = await group.start(_serve, judge)
            found = {MODEL: upstream.url, JUDGE: judged, COLLECTOR: collector.url}

            for named, url in found.items():
                assert named in config
                config = config.replace(named, url)

            environment = {"JUDGE_KEY": "k" * 32}

            async with (
                running_spindle(config, home=home, env=environment) as process,
                process.client() as client,
            ):
                tokens = json.loads(await spindle(home, "token", "list", "--json"))
                token_id = str(tokens[0]["id"])
                opened = await client.post(
                    "/llmchat/connect",
                    json={
                        "user_id": token_id,
                        "server": {"slug": "desk"},
                        "llm": {"model": "up~tools"},
                    },
                )
                assert opened.status_code == 200, opened.text
                yield House(process, judge, collector, client, process.admin_token, token_id)

            group.cancel_scope.cancel()


@pytest.mark.requirement("000-cross-tools")
async def test_the_same_tool_through_both_doors(tmp_path: Path) -> None:
    """Same decision, same arguments seen by plugins, one audit shape, one trace."""
    (_, config), *told = BLOCKS.findall(PAGE)
    shown, entry, mcp_trace, chat_trace, denied = (json.loads(block) for _, block in told)

    async with open_house(tmp_path, config) as house:
        decisions = {"mcp": await house.by_mcp(20_000_000, 22_000_000)}
        by_mcp = house.judge.take()
        decisions["chat"] = await house.by_chat(20_000_000, 22_000_000)
        by_chat = house.judge.take()
        entries = await house.audited(2)
        traces = await house.traced("mcp"), await house.traced("chat")
        refusals = {"mcp": await house.by_mcp(int(REFUSED), 1)}
        refused_by_mcp = house.judge.take()
        await house.by_chat(int(REFUSED), 1)
        refused_by_chat = house.judge.take()
        after = await house.audited(6)

    assert decisions == {"mcp": "ok", "chat": "ok"}
    assert by_mcp == by_chat == shown
    assert entries == [entry, entry]
    assert traces == (mcp_trace, chat_trace)
    assert refused_by_mcp == refused_by_chat
    assert [one["phase"] for one in refused_by_mcp] == ["pre_invoke"]
    assert refusals["mcp"] == denied["reason"].partition(":")[0]
    assert after[2:] == [entry, denied, entry, denied]
