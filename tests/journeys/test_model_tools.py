"""Models as tools, asked by an unmodified MCP client and by a chat."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from spindle_conformance.upstreams.embeddings import vector
from spindle_conformance.upstreams.plays import PLAIN_TEXT
from tests.journeys.gateway import create_token, in_force, spindle
from tests.support.spindle_process import SpindleProcess, running_spindle
from tests.support.upstream_process import running_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = pytest.mark.anyio

ERAS = ["2026-07-28", "legacy"]


@dataclass(frozen=True, slots=True)
class World:
    """A gateway with tokens of two teams."""

    process: SpindleProcess
    red: str
    blue: str

    @asynccontextmanager
    async def client(self, token: str, era: str = ERAS[0]) -> AsyncGenerator[Client]:
        async with httpx2.AsyncClient(
            headers={"authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        ) as http:
            transport = streamable_http_client(f"{self.process.url}/mcp", http_client=http)

            async with Client(transport, mode=era) as client:
                yield client

    async def usage(self) -> list[dict[str, Any]]:
        async with self.process.client() as client:
            items: list[dict[str, Any]] = (await client.get("/usage/records")).json()["items"]
            return items


@pytest.fixture(scope="module", params=["direct", "loopback"])
async def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[World]:
    home: Path = tmp_path_factory.mktemp("home")

    async with running_upstream() as upstream:
        models = [
            {"name": "plain"},
            {"name": "tools"},
            {"name": "echo"},
            {"name": "embed", "supports": ["embedding"], "dimensions": 8},
            {"name": "secret", "visibility": "team", "team": "red"},
        ]
        up = {"provider_type": "openai", "urls": [f"{upstream.url}/v1"], "models": models}
        settings = {
            "spi": {"transport": request.param},
            "usage": {"flush_seconds": 0},
            "llm": {"services": {"up": up}},
            "model_tools": {
                "ask": {"model": "up~plain", "title": "Ask", "description": "Ask the model."},
                "embed": {"model": "up~embed", "task": "embeddings"},
                "hidden": {"model": "up~secret"},
                "absent": {"model": "up~nothing"},
            },
            "servers": {"desk": {"tools": ["ask"], "models": ["up~plain"]}},
        }

        async with running_spindle(settings, home=home) as process:
            red = await create_token(home, "--team", "red", "--role", "developer")
            blue = await create_token(home, "--team", "blue", "--role", "developer")

            for token in (red, blue):
                await in_force(process, token)

            yield World(process, red, blue)


@pytest.mark.parametrize("era", ERAS)
async def test_a_model_answers_and_says_how_far_it_is(world: World, era: str) -> None:
    """One call of a tool, one of a model, and the tokens of one."""
    before = len(await world.usage())
    heard: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    async with world.client(world.blue, era) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools["ask"].title == "Ask"
        assert set(tools["ask"].input_schema["properties"]) > {"prompt", "messages", "system"}
        assert tools["ask"].output_schema is not None
        result: Any = await client.call_tool("ask", {"prompt": "hi"}, progress_callback=hear)

    assert result.content[0].text == PLAIN_TEXT
    assert result.structured_content["text"] == PLAIN_TEXT
    assert result.structured_content["model"] == "up~plain"
    assert heard
    rows = (await world.usage())[: -before or None]
    told = {row["kind"]: (row["input_tokens"], row["output_tokens"]) for row in rows}
    assert len(rows) == 2
    # One trace.
    assert len({row["request_id"] for row in rows}) == 1
    assert told["tool"] == (0, 0)
    usage = result.structured_content["usage"]
    assert told["model"] == (usage["input_tokens"], usage["output_tokens"]) != (0, 0)


@pytest.mark.parametrize("era", ERAS)
async def test_a_model_makes_vectors(world: World, era: str) -> None:
    """Which are data that the client checks."""
    async with world.client(world.blue, era) as client:
        result: Any = await client.call_tool("embed", {"input": ["one", "two"]})
        assert result.structured_content["embeddings"] == [vector("one"), vector("two")]
        wrong: Any = await client.call_tool("embed", {"input": 5})
        assert wrong.is_error is True


async def test_a_hidden_model_behind_a_tool_is_like_an_absent_one(world: World) -> None:
    """To the byte, but for the tool's own name; for whom it is there it answers."""
    told: list[str] = []

    async with world.client(world.blue) as client:
        for tool in ("hidden", "absent"):
            with pytest.raises(MCPError) as caught:
                await client.call_tool(tool, {"prompt": "hi"})

            error = json.dumps(caught.value.error.model_dump()).replace(f"'{tool}'", "'tool'")
            told.append(re.sub("req_[0-9a-f]+", "req_", error))

    assert told[0] == told[1]
    assert "secret" not in told[0]

    async with world.client(world.red) as client:
        # The model is there, and its upstream knows it as little as any.
        assert "hidden" in [tool.name for tool in (await client.list_tools()).tools]


async def test_a_chat_asks_a_model_as_a_tool(world: World) -> None:
    """The outer model calls the tool, the inner one answers, and each is counted once."""
    before = len(await world.usage())
    tokens = json.loads(await spindle(world.process.home, "token", "list", "--json"))
    user = next(str(token["id"]) for token in tokens if token["teams"] == ["blue"])

    async with world.process.client(world.blue) as client:
        connected = await client.post(
            "/llmchat/connect",
            json={"user_id": user, "server": {"slug": "desk"}, "llm": {"model": "up~tools"}},
        )
        assert connected.status_code == 200, connected.text
        said = await client.post(
            "/llmchat/chat", json={"user_id": user, "message": json.dumps({"prompt": "hi"})}
        )
        assert said.status_code == 200, said.text
        assert said.json()["tools"] == ["ask"]
        assert PLAIN_TEXT in said.json()["response"]
        await client.post("/llmchat/disconnect", json={"user_id": user})

    rows = (await world.usage())[: -before or None]
    assert sorted(row["record"] for row in rows) == ["ask", "up~plain", "up~tools", "up~tools"]
    assert [row["output_tokens"] for row in rows if row["kind"] == "tool"] == [0]


FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"mood": {"type": "string"}},
    "required": ["mood"],
}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"task": "paint"}, "task: 'paint' is not allowed"),
    ({"input_schema": {"type": "array"}}, "input_schema.type: is not 'object'"),
    (
        {"input_schema": {"type": "object", "properties": {"colour": {}}}},
        "input_schema.properties.colour: is no argument of a model",
    ),
    ({"output_schema": {"type": 5}}, "output_schema: is no JSON Schema"),
    (
        {"output_schema": {**FORM, "$ref": "http://x.test/"}},
        "output_schema: refers to something outside",
    ),
    ({"task": "embeddings", "output_schema": FORM}, "vectors have a form of their own"),
    ({"model": "up~nobody~knows", "mdel": 1}, "mdel: unknown key, did you mean 'model'"),
]


async def test_a_tool_is_made_by_command_and_over_the_api(world: World) -> None:
    """With a form of its own; what is wrong is named by its path."""
    home = world.process.home
    await spindle(
        home, "tool", "add", "vectors", "--model", "up~embed", "--task", "embeddings",
        "--visibility", "public",
    )  # fmt: skip

    async with world.process.client() as http:
        path = "/admin/api/v1/tools"
        body = {"name": "mood", "model": "up~echo", "output_schema": FORM, "visibility": "public"}
        made = await http.post(path, json=body)
        assert made.status_code == 201, made.text
        assert made.json()["output_schema"] == FORM
        changed = await http.patch(f"{path}/mood", json={"title": "Mood"})
        assert (changed.status_code, changed.json()["output_schema"]) == (200, FORM)

        for wrong, words in WRONG:
            refused = await http.post(path, json={"name": "bad", "model": "up~echo", **wrong})
            assert refused.status_code == 400, refused.text
            assert words in refused.json()["error"]["message"]

    async with world.client(world.blue) as client:
        result: Any = await client.call_tool("mood", {"prompt": json.dumps({"mood": "good"})})
        assert result.structured_content == {"mood": "good"}
        result = await client.call_tool("vectors", {"input": "one"})
        assert result.structured_content["embeddings"] == [vector("one")]

    await spindle(home, "tool", "remove", "vectors")
    await spindle(home, "tool", "remove", "mood")
