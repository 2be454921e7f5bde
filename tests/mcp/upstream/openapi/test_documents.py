"""Where documents come from, where they may send us, and what becomes of bad ones."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.upstream.connections.base import Endpoint
from spindle_mcp.upstream.connections.connect import open_upstream
from spindle_mcp.upstream.openapi.faults import BadDocument
from spindle_spi.errors import UpstreamError
from spindle_spi.records import GatewaySpec
from spindle_spi.secret import Secret
from tests.mcp.support.clients import ERAS, connected, error_of, first_text, names
from tests.mcp.support.records import count_tools, gateway, has_tool, logged
from tests.mcp.support.rest import (
    STRING,
    Rest,
    json_answer,
    json_body,
    openapi,
    parameter,
    rest_api,
)
from tests.mcp.support.serving import serving
from tests.mcp.upstream.openapi.support import api_of, call, tools_of, upstream_of

if TYPE_CHECKING:
    from pathlib import Path

    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a")}


def pets(**more: Any) -> JsonObject:
    """Return a small API: a name goes in, an object comes out."""
    echo = json_answer({"type": "object", "properties": {"method": STRING}})
    return openapi(
        {
            "/pets/{id}": {
                "get": {
                    "operationId": "getPet",
                    "summary": "Get a pet.",
                    "parameters": [parameter("id", "path"), parameter("verbose")],
                    "responses": echo,
                },
                "put": {
                    "operationId": "putPet",
                    "parameters": [parameter("id", "path")],
                    "requestBody": json_body({"type": "object", "properties": {"name": STRING}}),
                    "responses": echo,
                },
            },
            "/status/404": {"get": {"operationId": "lost"}},
            "/as/png": {"get": {"operationId": "picture"}},
            "/as/list": {"get": {"operationId": "list"}},
        },
        **more,
    )


async def until(condition: Any) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.005)


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_lists_and_calls_operations(era: str) -> None:
    """In either era; what only the newer one has a place for is text in the older one."""
    rest, host = Rest(), FakeHost()

    async with rest_api(rest) as url:
        options: JsonObject = {"document": pets()}
        host.records.add(gateway("api", transport="openapi", url=url, options=options))

        async with (
            serving(host, CALLERS, wait_for=5) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert sorted(tools) == [
                "api__getPet",
                "api__list",
                "api__lost",
                "api__picture",
                "api__putPet",
            ]
            hints = tools["api__getPet"].annotations
            assert hints is not None
            assert hints.read_only_hint is True
            assert tools["api__getPet"].title == "Get a pet."

            result: Any = await client.call_tool("api__getPet", {"id": "ä 1", "verbose": "yes"})
            assert result.structured_content["path"] == "/pets/%C3%A4%201"
            assert json.loads(first_text(result)) == result.structured_content
            result = await client.call_tool("api__putPet", {"id": "1", "name": "Rex"})
            assert result.structured_content["body"] == '{"name":"Rex"}'

            lost: Any = await client.call_tool("api__lost", {})
            assert lost.is_error is True
            assert "404" in first_text(lost)
            picture: Any = await client.call_tool("api__picture", {})
            assert picture.content[0].mime_type == "image/png"
            listed: Any = await client.call_tool("api__list", {})
            assert first_text(listed) == "[1,2]"
            assert listed.structured_content == (None if era == "legacy" else [1, 2])

            wrong: Any = await client.call_tool("api__getPet", {"verbose": "yes"})
            assert wrong.is_error is True
            assert "'id' is a required property" in first_text(wrong)
            error = await error_of(client, "api__getPet", {"id": "../admin"})
            assert "slash" in error.error.message

    assert not any("admin" in asked.path for asked in rest.asked)


async def test_a_bad_document_leaves_the_last_good_one() -> None:
    """It is read again from time to time; calls go on meanwhile."""
    rest, host = Rest(document=pets()), FakeHost()

    async with rest_api(rest) as url:
        options: JsonObject = {"document": f"{url}/openapi.json"}
        host.records.add(gateway("api", transport="openapi", options=options))

        async with (
            serving(host, CALLERS, wait_for=5, config={"refresh_seconds": 0.02}) as served,
            connected(served.endpoint()) as client,
        ):
            for status, document in (
                (200, b"<html>"),
                (200, json.dumps({"swagger": "2.0"}).encode()),
                (500, b"{}"),
                (401, b"{}"),
                (302, b""),
            ):
                before = len(logged(host, "mcp.gateway.refresh_failed"))
                rest.document, rest.document_status = document, status
                await until(
                    lambda before=before: len(logged(host, "mcp.gateway.refresh_failed")) > before
                )
                assert len(await names(client)) == 5
                result: Any = await client.call_tool("api__getPet", {"id": "1"})
                assert result.structured_content["path"] == "/pets/1"

            rest.document = openapi({"/new": {"get": {"operationId": "new"}}})
            rest.document_status = 200
            await until(lambda: has_tool(host, "api__new"))

            with anyio.fail_after(20):
                while await names(client) != ["api__new"]:
                    await anyio.sleep(0.005)


async def test_an_operation_that_cannot_be_a_tool_is_told_to_the_operator() -> None:
    """Once, with the reason; the others are there."""
    rest, host = Rest(document=pets()), FakeHost()
    bad: JsonObject = {"operationId": "bad", "parameters": [{"$ref": "#/nowhere"}]}
    document = openapi({"/a": {"get": bad}, "/b": {"get": {"operationId": "good"}}})

    async with rest_api(rest) as url:
        options: JsonObject = {"document": document}
        host.records.add(gateway("api", transport="openapi", url=url, options=options))

        async with serving(host, CALLERS, wait_for=1, config={"refresh_seconds": 0.02}):
            assert count_tools(host) == 1
            (told,) = logged(host, "mcp.tool.left_out")

    assert told == {
        "gateway": "api",
        "tool": "bad",
        "reason": "one of its parameters cannot be resolved",
    }


async def test_a_document_is_fetched_with_the_credential_only_if_that_was_said() -> None:
    """And only from where the credential belongs."""
    rest = Rest(document=pets(), token="t0ken")

    async with rest_api(rest) as url, rest_api(Rest(document=pets(), token="t0ken")) as other:
        document = f"{url}/openapi.json"

        with pytest.raises(BadDocument, match="HTTP status 401"):
            async with upstream_of(document, url, credential="t0ken"):
                pass

        assert "authorization" not in rest.last.headers

        async with upstream_of(document, url, credential="t0ken", document_auth="bearer") as up:
            assert len(await tools_of(up)) == 5

        with pytest.raises(BadDocument, match="HTTP status 401"):
            async with upstream_of(document, other, credential="t0ken", document_auth="bearer"):
                pass

        with pytest.raises(BadDocument, match="cannot be asked for"):
            async with upstream_of(document, url, credential="a\nb", document_auth="bearer"):
                pass


async def test_a_document_is_read_from_a_file(tmp_path: Path) -> None:
    """YAML or JSON; what changes in it is taken over, and when it is gone the last one stays."""
    path = tmp_path / "api.yaml"
    path.write_text("openapi: 3.0.3\npaths:\n  /x: {get: {operationId: one}}\n")
    rest = Rest()

    async with rest_api(rest) as url:
        spec = GatewaySpec(transport="openapi", url=f"{url}/base", options={"file": str(path)})

        async with open_upstream(
            spec, Endpoint(gateway="up", url=f"{url}/base", version="1")
        ) as upstream:
            assert [tool["name"] for tool in await tools_of(upstream)] == ["one"]
            path.write_text(
                '{"openapi": "3.1.0", "paths": {"/y": {"get": {"operationId": "two"}}}}'
            )
            assert [tool["name"] for tool in await tools_of(upstream)] == ["two"]
            path.unlink()

            with pytest.raises(BadDocument, match="cannot be read: No such file"):
                await tools_of(upstream)

            await upstream.request(call("two"))
            assert rest.last.path == "/base/y"


async def test_a_gateway_without_a_document_says_so() -> None:
    """Whoever wrote the record has forgotten it."""
    spec = GatewaySpec(transport="openapi", url="http://api.test")

    async with open_upstream(
        spec, Endpoint(gateway="up", url="http://api.test", version="1")
    ) as upstream:
        with pytest.raises(BadDocument, match="options.document is missing"):
            await tools_of(upstream)


async def test_another_credential_is_used_from_then_on() -> None:
    """Nothing has to be opened again for it."""
    rest = Rest()

    async with (
        rest_api(rest) as url,
        upstream_of(pets(), url, credential="first") as upstream,
    ):
        assert upstream.take_credential(Secret("second"))
        await upstream.request(call("getPet", id="1"))

    assert rest.last.headers["authorization"] == "Bearer second"


async def test_judged_addresses_are_used_and_nothing_is_resolved_again() -> None:
    """The document's and the API's, each its own."""
    api, documents = Rest(), Rest(document=pets())

    async with rest_api(api) as url, rest_api(documents) as other:
        port, other_port = url.rsplit(":", 1)[1], other.rsplit(":", 1)[1]
        spec = GatewaySpec(
            transport="openapi",
            url=f"http://api.invalid:{port}",
            options={
                "document": f"http://documents.invalid:{other_port}/openapi.json",
                "address": "127.0.0.1",
                "document_address": "127.0.0.1",
            },
        )
        endpoint = Endpoint(gateway="up", url=spec.url or "", version="1", address="127.0.0.1")

        async with open_upstream(spec, endpoint) as upstream:
            await tools_of(upstream)
            await upstream.request(call("getPet", id="1"))

    assert api.last.headers["host"] == f"api.invalid:{port}"
    assert documents.last.headers["host"] == f"documents.invalid:{other_port}"


async def test_an_api_at_its_documents_host_uses_the_documents_address() -> None:
    """That is the one that was judged."""
    rest = Rest(document=pets(servers=[{"url": "/v1"}]))

    async with rest_api(rest) as url:
        document = f"http://api.invalid:{url.rsplit(':', 1)[1]}/openapi.json"
        spec = GatewaySpec(
            transport="openapi",
            options={"document": document, "document_address": "127.0.0.1"},
        )

        async with open_upstream(spec, Endpoint(gateway="up", url="", version="1")) as upstream:
            await tools_of(upstream)
            await upstream.request(call("getPet", id="1"))

    assert rest.last.path == "/v1/pets/1"


async def test_a_document_on_a_host_that_is_not_there_is_the_gateways_failure() -> None:
    """And names no address."""
    with pytest.raises(UpstreamError) as caught:
        async with upstream_of("http://127.0.0.1:1/openapi.json", None):
            pass

    assert "127.0.0.1" not in caught.value.message


def large(count: int) -> JsonObject:
    """Return a document of many operations, each with a body and an answer of shared schemas."""
    person: JsonObject = {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "readOnly": True},
            "name": STRING,
            "manager": {"$ref": "#/components/schemas/Person"},
            "tags": {"type": "array", "items": STRING},
        },
    }
    own: JsonObject = {"$ref": "#/components/schemas/Person"}
    return openapi(
        {
            f"/things{number}/{{id}}": {
                "post": {
                    "operationId": f"thing{number}",
                    "parameters": [parameter("id", "path"), parameter("q")],
                    "requestBody": json_body(own),
                    "responses": json_answer(own),
                }
            }
            for number in range(count)
        },
        components={"schemas": {"Person": person}},
    )


def test_two_thousand_operations_are_read_in_a_moment() -> None:
    """Each with parameters, a body, an answer, and schemas that come back to themselves."""
    began = time.process_time()
    api = api_of(large(2_000), max_operations=2_000)
    assert len(api.tools) == 2_000
    assert api.left_out == ()
    # Takes half a second; what is refused here is something that grows with their square.
    assert time.process_time() - began < 20
