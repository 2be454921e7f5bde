"""A REST API as tools: configured or added at run time, asked by an unmodified MCP client."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.journeys.gateway import create_token, in_force, spindle
from tests.mcp.support.rest import Rest, json_answer, json_body, openapi, parameter, rest_api
from tests.mcp.upstream.openapi.test_documents import large
from tests.support.canaries import Canaries, Sinks
from tests.support.spindle_process import SpindleProcess, running_spindle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

CANARIES = Canaries()
CREDENTIAL = CANARIES.seed("the credential of an API")
OTHER = CANARIES.seed("the credential of an API made at run time")
STRING: JsonObject = {"type": "string"}


@dataclass(frozen=True, slots=True)
class World:
    """A gateway over a REST API, with tokens of two teams."""

    process: SpindleProcess
    rest: Rest
    url: str
    red: str
    blue: str

    @asynccontextmanager
    async def client(self, token: str, era: str = "2026-07-28") -> AsyncGenerator[Client]:
        async with httpx2.AsyncClient(
            headers={"authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        ) as http:
            transport = streamable_http_client(f"{self.process.url}/mcp", http_client=http)

            async with Client(transport, mode=era) as client:
                yield client

    async def names(self, token: str) -> set[str]:
        async with self.client(token) as client:
            page = await client.list_tools()
            found = {tool.name for tool in page.tools}

            while page.next_cursor is not None:
                page = await client.list_tools(cursor=page.next_cursor)
                found |= {tool.name for tool in page.tools}

            return found

    async def until_there(self, name: str, token: str) -> None:
        with anyio.fail_after(30):
            while name not in await self.names(token):
                await anyio.sleep(0.05)

    async def made(self, body: JsonObject) -> httpx2.Response:
        async with self.process.client() as client:
            return await client.post("/admin/api/v1/gateways", json=body)


def shop(**more: Any) -> JsonObject:
    """Return an API that wants a key, and says back whatever it is asked."""
    return openapi(
        {
            "/orders/{id}": {
                "get": {
                    "operationId": "getOrder",
                    "parameters": [parameter("id", "path"), parameter("fields")],
                    "responses": json_answer({"type": "object"}),
                },
                "delete": {"operationId": "dropOrder", "parameters": [parameter("id", "path")]},
            },
            "/orders": {
                "post": {
                    "operationId": "makeOrder",
                    "requestBody": json_body({"type": "object", "properties": {"what": STRING}}),
                }
            },
            "/status/422": {"get": {"operationId": "unfit"}},
            "/status/401": {"get": {"operationId": "refused"}},
            "/status/429": {"get": {"operationId": "hurried"}},
        },
        components={"securitySchemes": {"key": {"type": "apiKey", "in": "query", "name": "key"}}},
        security=[{"key": []}],
        **more,
    )


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[World]:
    home: Path = tmp_path_factory.mktemp("home")
    rest = Rest(document=large(2_000))
    (home / "shop.json").write_text(json.dumps(shop()))

    async with rest_api(rest) as url:
        team = {"visibility": "team", "team": "red"}
        shared = {"transport": "openapi", "url": url, "credential_env_var": "SHOP_KEY"}
        settings = {
            "egress": {"allowed_hosts": ["127.0.0.1"]},
            "logging": {"main": {"file": "spindle.log", "console_level": "debug"}},
            "mcp": {
                "max_tools": 2_000,
                "gateways": {
                    "shop": {**shared, "options": {"file": "shop.json"}, "visibility": "public"},
                    "red": {**shared, **team, "options": {"document": shop()}},
                },
            },
        }

        async with running_spindle(settings, home=home, env={"SHOP_KEY": CREDENTIAL}) as process:
            red = await create_token(home, "--team", "red", "--role", "developer")
            blue = await create_token(home, "--team", "blue", "--role", "developer")

            for token in (red, blue):
                await in_force(process, token)

            made = World(process, rest, url, red, blue)
            await made.until_there("shop__getOrder", blue)
            await made.until_there("red__getOrder", red)
            yield made


@pytest.mark.parametrize("era", ["2026-07-28", "legacy"])
async def test_operations_are_listed_and_called(world: World, era: str) -> None:
    """A document from a file; the credential goes along and is not shown where it is said back."""
    async with world.client(world.blue, era) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools["shop__getOrder"].input_schema["required"] == ["id"]
        result: Any = await client.call_tool("shop__getOrder", {"id": "a b", "fields": "x&key=1"})
        assert result.structured_content["path"] == "/orders/a%20b"
        assert result.structured_content["query"] == "fields=x%26key%3D1&key=***"
        assert world.rest.last.query == f"fields=x%26key%3D1&key={CREDENTIAL}"
        assert "authorization" not in world.rest.last.headers
        result = await client.call_tool("shop__makeOrder", {"what": "tea"})
        assert json.loads(world.rest.last.body) == {"what": "tea"}


async def test_two_thousand_operations_are_two_thousand_tools(world: World) -> None:
    """Where the operator allows so many; the last of them works."""
    record: JsonObject = {
        "name": "large",
        "transport": "openapi",
        # Nobody else has to wait for so long a list.
        "visibility": "private",
        "options": {"document": f"{world.url}/openapi.json", "max_operations": 2_000},
    }
    assert (await world.made(record)).status_code == 201
    token = world.process.admin_token
    await world.until_there("large__thing1999", token)

    names = await world.names(token)
    assert sum(name.startswith("large__") for name in names) == 2_000

    async with world.client(token) as client:
        result: Any = await client.call_tool("large__thing1999", {"id": "7", "name": "x"})
        assert result.structured_content["path"] == "/things1999/7"

    async with world.process.client() as http:
        assert (await http.delete("/admin/api/v1/gateways/large")).status_code == 204


@pytest.mark.parametrize("value", ["..", "../admin", "a/b", "..\\x", "a/../../b"])
async def test_no_argument_leads_to_another_path(world: World, value: str) -> None:
    """Nothing is sent."""
    before = len(world.rest.asked)

    async with world.client(world.blue) as client:
        with pytest.raises(Exception, match="path cannot hold"):
            await client.call_tool("shop__dropOrder", {"id": value})

    assert len(world.rest.asked) == before


async def test_failures_say_whose_they_are(world: World) -> None:
    """What a model can mend is a result; what the operator has to mend is an error."""
    async with world.client(world.blue) as client:
        unfit: Any = await client.call_tool("shop__unfit", {})
        assert unfit.is_error is True
        assert "422" in unfit.content[0].text
        assert "no such thing" in unfit.content[0].text

        with pytest.raises(Exception, match="The gateway 'shop' refused our credential"):
            await client.call_tool("shop__refused", {})

        with pytest.raises(
            Exception, match=r"'shop' asks us to slow down\. Try again in 7 seconds"
        ):
            await client.call_tool("shop__hurried", {})


async def test_an_api_of_another_team_is_not_there(world: World) -> None:
    """Hidden is absent."""
    assert "red__getOrder" in await world.names(world.red)
    assert not any(name.startswith("red__") for name in await world.names(world.blue))

    async with world.client(world.blue) as client:
        for name in ("red__getOrder", "red__nothing"):
            with pytest.raises(Exception, match=f"Unknown tool: {name}"):
                await client.call_tool(name, {"id": "1"})


async def test_our_own_document_is_one(world: World) -> None:
    """Added at run time, with an administrator's token as its credential."""
    made = await world.made(
        {
            "name": "self",
            "transport": "openapi",
            "credential": world.process.admin_token,
            "visibility": "private",
            "options": {
                "document": f"{world.process.url}/openapi.json",
                "document_auth": "bearer",
                "exclude": {"methods": ["delete"]},
            },
        }
    )
    assert made.status_code == 201, made.text

    async with world.process.client() as http:
        document = (await http.get("/openapi.json")).json()

    wanted = sum(
        method in ("get", "put", "post", "patch", "head", "options")
        for item in document["paths"].values()
        for method in item
    )
    admin = world.process.admin_token

    with anyio.fail_after(30):
        while not (own := {n for n in await world.names(admin) if n.startswith("self__")}):
            await anyio.sleep(0.05)

    assert _left_out(world, "self") == []
    assert len(own) == wanted > 100

    async with world.client(admin) as client:
        name = document["paths"]["/admin/api/v1/gateways/{id}"]["get"]["operationId"]
        result: Any = await client.call_tool(f"self__{name}", {"id": "shop"})
        assert not result.is_error, result.content
        assert result.structured_content["transport"] == "openapi"


def _left_out(world: World, gateway: str) -> list[JsonObject]:
    lines = (world.process.home / "spindle.log").read_text().splitlines()
    said = [json.loads(line) for line in lines if "mcp.tool.left_out" in line]
    return [line for line in said if line.get("gateway") == gateway]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"url": "http://169.254.169.254/"}, "address is not allowed"),
        ({"url": "http://localhost/"}, "address is not allowed"),
        ({"options": {"document": "http://10.0.0.1/openapi.json"}}, "address is not allowed"),
        (
            {"url": "http://127.0.0.1:9/", "options": {"document": "http://[::1]/d.json"}},
            "address is not allowed",
        ),
        ({"url": "file:///etc/passwd"}, "url: is not an http(s) URL"),
        ({"url": None}, "url: is missing"),
        ({"options": {}}, "options.document: is missing"),
        ({"options": {"file": "/etc/passwd"}}, "options.file: files are read only"),
        ({"options": {"document": 5}}, "options.document: is an integer"),
        ({"options": {"document": "ftp://x"}}, "options.document: is not an http(s) URL"),
        ({"options": {"documnet": "http://x"}}, "options.documnet: unknown key, did you mean"),
        (
            {"options": {"document": {}, "include": {"method": ["get"]}}},
            "options.include.method: unknown key, did you mean 'methods'",
        ),
        (
            {"options": {"document": {}, "exclude": {"methods": ["GET"]}}},
            "options.exclude.methods[0]",
        ),
        ({"options": {"document": {}, "max_operations": 0}}, "options.max_operations"),
        (
            {"options": {"document": "http://127.0.0.1:8/d", "document_auth": "bearer"}},
            "options.document_auth: the document is on another host",
        ),
        ({"options": {"document": {}, "document_address": "127.0.0.1"}}, "gateway's own to set"),
    ],
)
async def test_what_is_wrong_with_a_record_is_named(
    world: World, body: JsonObject, words: str
) -> None:
    """By its path; addresses of this machine and its network only where they were allowed."""
    record: JsonObject = {
        "name": "bad",
        "transport": "openapi",
        "url": "http://127.0.0.1:9/",
        "options": {"document": shop()},
        **body,
    }
    refused = await world.made(record)
    assert refused.status_code == 400, refused.text
    assert words in refused.json()["error"]["message"]


async def test_an_api_is_added_and_taken_away_by_command(world: World) -> None:
    """The document is named by its URL."""
    home = world.process.home
    rest = Rest(document=shop(servers=[{"url": "/v1"}]))

    async with rest_api(rest) as url:
        command = ("gateway", "add", "byhand", "--transport", "openapi", "--visibility", "public")
        await spindle(
            home,
            *command,
            *("--set", f"options.document={url}/openapi.json"),
            *("--set", "options.include={methods: [get]}"),
            "--credential-env=OTHER_KEY",
            env={"OTHER_KEY": OTHER},
        )
        await world.until_there("byhand__getOrder", world.blue)
        assert "byhand__dropOrder" not in await world.names(world.blue)

        async with world.client(world.blue) as client:
            result: Any = await client.call_tool("byhand__getOrder", {"id": "1"})
            assert result.structured_content["path"] == "/v1/orders/1"
            assert rest.last.query == f"key={OTHER}"

        await spindle(home, "gateway", "remove", "byhand")

        with anyio.fail_after(30):
            while any(n.startswith("byhand__") for n in await world.names(world.blue)):
                await anyio.sleep(0.05)


async def test_no_credential_comes_out(world: World) -> None:
    """Not in answers, errors, logs, metrics, records or files."""
    sinks = Sinks()

    async with world.client(world.red) as client:
        for tool in ("getOrder", "unfit", "refused", "hurried", "nothing"):
            for gateway in ("shop", "red"):
                try:
                    result = await client.call_tool(f"{gateway}__{tool}", {"id": "1"})
                    sinks.add("results", result.model_dump_json())
                except Exception as exc:  # noqa: BLE001 - whatever it is, it is looked at
                    sinks.add("errors", f"{exc!r} {getattr(exc, 'error', '')}")

    async with world.process.client() as http:
        for path in (
            *("/metrics", "/admin/api/v1/gateways", "/admin/api/v1/gateways/shop", "/usage"),
            *("/admin/api/v1/tools", "/admin/api/v1/audit", "/ready"),
        ):
            sinks.add(path, (await http.get(path)).content)

    assert "***" in sinks.contents["results"].decode()
    sinks.add_files(world.process.home, but=frozenset({"admin-token"}))
    assert sinks.leaks(CANARIES) == []
