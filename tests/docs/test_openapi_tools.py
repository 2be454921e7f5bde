"""The page on REST APIs shows a document and a configuration that do what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from spindle.config.openapi import OpenApiOptions
from tests.mcp.support.rest import Rest, rest_api
from tests.support.spindle_process import running_spindle

if TYPE_CHECKING:
    from mcp_types import Tool

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "openapi-tools.md").read_text()
API = DOCS / "examples/shop-api.yaml"
CONFIGURATION = DOCS / "examples/openapi-tools.yaml"


@pytest.mark.parametrize("path", [API, CONFIGURATION], ids=lambda path: path.stem)
def test_the_page_shows_the_files_as_they_are(path: Path) -> None:
    """Nobody copies what does not work."""
    assert path.read_text() in PAGE


def test_the_page_names_every_option() -> None:
    """And no other."""
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    named = {word.strip(" `") for row in rows for word in row.split(",")}
    assert named == OpenApiOptions.model_fields.keys()


async def test_the_configuration_of_the_page_makes_the_tools_it_names(tmp_path: Path) -> None:
    """The document lies beside it; only where the API listens is another place here."""
    rest = Rest()

    async with rest_api(rest) as url:
        document = API.read_text().replace("http://127.0.0.1:9090", url)
        (tmp_path / API.name).write_text(document)

        async with running_spindle(
            CONFIGURATION.read_text(), home=tmp_path, env={"SHOP_KEY": "the key"}
        ) as process:
            token = process.admin_token
            headers = {"authorization": f"Bearer {token}"}

            async with (
                httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http,
                Client(streamable_http_client(f"{process.url}/mcp", http_client=http)) as client,
            ):
                tools = await _tools(client)
                assert sorted(tools) == ["shop__getOrder", "shop__makeOrder"]
                assert all(name in PAGE for name in tools)
                taken = {name: set(tool.input_schema["properties"]) for name, tool in tools.items()}
                assert taken["shop__getOrder"] == {"id", "fields"}
                assert taken["shop__makeOrder"] == {"what", "gift"}
                # What this API says back is no order, and the tool says so.
                arguments = {"id": "7", "fields": ["what", "gift"]}
                got: Any = await client.call_tool("shop__getOrder", arguments)
                assert "is a required property" in got.content[0].text
                assert (rest.last.path, rest.last.query) == ("/v1/orders/7", "fields=what,gift")
                assert rest.last.headers["x-shop-key"] == "the key"
                made: Any = await client.call_tool("shop__makeOrder", {"what": "tea", "gift": None})
                assert json.loads(made.structured_content["body"]) == {"what": "tea", "gift": None}


async def _tools(client: Client) -> dict[str, Tool]:
    with anyio.fail_after(30):
        while not (listed := (await client.list_tools()).tools):
            await anyio.sleep(0.05)

    return {tool.name: tool for tool in listed}
