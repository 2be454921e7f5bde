"""Calls as they reach a real REST server, and what its answers become."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from spindle_spi.errors import InvalidArgument, RateLimited, UpstreamError, UpstreamTimeout
from tests.mcp.support.rest import (
    PNG,
    Rest,
    json_answer,
    json_body,
    parameter,
    rest_api,
)
from tests.mcp.upstream.openapi.support import call, doc, text_of, upstream_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio


@pytest.fixture(name="rest", scope="module")
async def _rest() -> AsyncGenerator[tuple[Rest, str]]:
    rest = Rest()

    async with rest_api(rest) as url:
        yield rest, url


@pytest.mark.parametrize(
    ("said", "value", "query"),
    [
        ({}, "a b&c=d#e/?", "p=a%20b%26c%3Dd%23e%2F%3F"),
        ({}, "ünï", "p=%C3%BCn%C3%AF"),
        ({}, 3, "p=3"),
        ({}, 2.5, "p=2.5"),
        ({}, True, "p=true"),
        ({}, ["a", "b,c"], "p=a&p=b%2Cc"),
        ({}, [], ""),
        ({"explode": False}, ["a", "b,c"], "p=a,b%2Cc"),
        ({"style": "spaceDelimited"}, ["a", "b"], "p=a%20b"),
        ({"style": "pipeDelimited"}, ["a", "b"], "p=a%7Cb"),
        ({}, {"x": 1, "y": "&"}, "x=1&y=%26"),
        ({"explode": False}, {"x": 1, "y": 2}, "p=x,1,y,2"),
        (
            {"style": "deepObject"},
            {"x": 1, "in": {"y": ["a", "b"], "z": None}},
            "p%5Bx%5D=1&p%5Bin%5D%5By%5D=a&p%5Bin%5D%5By%5D=b",
        ),
        ({"allowReserved": True}, "a/b?c&d#e", "p=a/b?c%26d%23e"),
        ({"content": {"application/json": {}}}, {"a": ["b"]}, "p=%7B%22a%22%3A%5B%22b%22%5D%7D"),
        ({"content": {"application/json": {}}}, "a", "p=%22a%22"),
    ],
)
async def test_query_parameters_go_by_style(
    rest: tuple[Rest, str], said: Any, value: Any, query: str
) -> None:
    """Every character of a value stays part of it."""
    described: JsonObject = {**parameter("p"), "schema": {}, **said}
    document = doc("get", "/x", parameters=[described])

    async with upstream_of(document, f"{rest[1]}/v1/") as upstream:
        await upstream.request(call("op", p=value))

    assert rest[0].last.path.partition("?")[0] == "/v1/x"
    assert rest[0].last.query == query


@pytest.mark.parametrize(
    ("said", "value", "path"),
    [
        ({}, "a b;c=d%é", "/x/a%20b%3Bc%3Dd%25%C3%A9/y"),
        ({}, "a?b#c", "/x/a%3Fb%23c/y"),
        ({}, "%2e%2e", "/x/%252e%252e/y"),
        ({}, "...", "/x/.../y"),
        ({}, 0, "/x/0/y"),
        ({}, ["a", "b,c"], "/x/a,b%2Cc/y"),
        ({}, {"k": 1, "l": 2}, "/x/k,1,l,2/y"),
        ({"explode": True}, {"k": 1, "l": 2}, "/x/k=1,l=2/y"),
        ({"style": "label"}, ["a", "b"], "/x/.a,b/y"),
        ({"style": "label", "explode": True}, ["a", "b"], "/x/.a.b/y"),
        ({"style": "matrix"}, ["a", "b"], "/x/;id=a,b/y"),
        ({"style": "matrix", "explode": True}, ["a", "b"], "/x/;id=a;id=b/y"),
        ({"style": "matrix", "explode": True}, {"k": 1}, "/x/;k=1/y"),
    ],
)
async def test_path_parameters_go_by_style(
    rest: tuple[Rest, str], said: Any, value: Any, path: str
) -> None:
    """As they are written the server reads them again."""
    document = doc("get", "/x/{id}/y", parameters=[parameter("id", "path", **said)])

    async with upstream_of(document, rest[1]) as upstream:
        await upstream.request(call("op", id=value))

    assert (rest[0].last.path, rest[0].last.query) == (path, "")


@pytest.mark.parametrize(
    "value",
    [
        *("", [], "..", ".", "../admin", "a/b", "a/../../b", "..\\admin", "a\\b", "..;x", "..;"),
        *(["a", "/"], {"/": "a"}, "/", "//elsewhere.test/"),
    ],
)
async def test_no_argument_changes_the_path(rest: tuple[Rest, str], value: Any) -> None:
    """It is refused before anything is sent, with the argument's name where it is one's fault."""
    document = doc("delete", "/x/{id}", parameters=[parameter("id", "path")])
    before = len(rest[0].asked)

    async with upstream_of(document, rest[1]) as upstream:
        with pytest.raises(InvalidArgument):
            await upstream.request(call("op", id=value))

    assert len(rest[0].asked) == before


@pytest.mark.parametrize("value", ["..", "../x", "a/../b", "a/..", "./a", "a\\..\\b"])
async def test_where_slashes_are_let_through_dots_are_not(
    rest: tuple[Rest, str], value: str
) -> None:
    """An API may want slashes in a name; none wants another path."""
    document = doc("get", "/x/{id}", parameters=[parameter("id", "path")])

    async with upstream_of(document, rest[1], encoded_slashes=True) as upstream:
        await upstream.request(call("op", id="group/project"))
        assert rest[0].last.path == "/x/group%2Fproject"

        with pytest.raises(InvalidArgument):
            await upstream.request(call("op", id=value))


async def test_dots_of_two_arguments_do_not_add_up(rest: tuple[Rest, str]) -> None:
    """The path is looked at as it goes out."""
    parameters = [parameter("a", "path"), parameter("b", "path")]

    async with upstream_of(doc("get", "/x/{a}{b}/y", parameters=parameters), rest[1]) as upstream:
        with pytest.raises(InvalidArgument):
            await upstream.request(call("op", a=".", b="."))


async def test_headers_and_cookies_hold_parameters(rest: tuple[Rest, str]) -> None:
    """Lists are joined; what would end a cookie is escaped."""
    parameters = [
        parameter("X-One", "header"),
        parameter("X-Many", "header"),
        parameter("X-Object", "header", explode=True),
        parameter("c", "cookie"),
    ]
    arguments: dict[str, Any] = {
        "X-One": "a b",
        "X-Many": [1, 2],
        "X-Object": {"k": "v"},
        "c": "x; y=z",
    }

    async with upstream_of(doc("get", "/x", parameters=parameters), rest[1]) as upstream:
        await upstream.request(call("op", **arguments))

    headers = rest[0].last.headers
    assert [headers[name] for name in ("x-one", "x-many", "x-object")] == ["a b", "1,2", "k=v"]
    assert headers["cookie"] == "c=x%3B%20y%3Dz"
    assert headers["user-agent"] == "spindle/1"


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\x00b", " a"])
async def test_a_header_holds_one_line(rest: tuple[Rest, str], value: str) -> None:
    """Anything else is refused."""
    document = doc("get", "/x", parameters=[parameter("X-One", "header")])

    async with upstream_of(document, rest[1]) as upstream:
        with pytest.raises(InvalidArgument):
            await upstream.request(call("op", **{"X-One": value}))


THING: JsonObject = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
}


async def test_a_json_body_is_made_of_what_no_parameter_takes(rest: tuple[Rest, str]) -> None:
    """Or is the argument that stands for it; an optional one that is not given is not sent."""
    parameters = [parameter("q")]
    merged = doc("post", "/x", parameters=parameters, requestBody=json_body(THING))

    async with upstream_of(merged, rest[1]) as upstream:
        await upstream.request(call("op", q="1", name="ü", n=2, more=[None]))

    assert rest[0].last.headers["content-type"] == "application/json"
    assert json.loads(rest[0].last.body) == {"name": "ü", "n": 2, "more": [None]}
    whole = doc("post", "/x", requestBody=json_body({"type": "array"}, required=False))

    async with upstream_of(whole, rest[1]) as upstream:
        await upstream.request(call("op", body=[1, "a"]))
        assert json.loads(rest[0].last.body) == [1, "a"]
        await upstream.request(call("op"))
        assert rest[0].last.body == b""
        assert "content-type" not in rest[0].last.headers

        with pytest.raises(InvalidArgument):
            await upstream.request(call("op", other=1))


async def test_a_form_is_sent_where_the_api_takes_no_json(rest: tuple[Rest, str]) -> None:
    """Lists are repeated, structures are JSON unless the document styles them."""
    body: JsonObject = {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {"type": "object", "properties": {"a": {}, "b": {}, "c": {}, "d": {}}},
                "encoding": {"d": {"style": "deepObject"}},
            }
        },
    }

    async with upstream_of(doc("post", "/x", requestBody=body), rest[1]) as upstream:
        await upstream.request(call("op", a="x&y", b=[1, 2], c={"k": 1}, d={"k": 1}))

    assert rest[0].last.headers["content-type"] == "application/x-www-form-urlencoded"
    assert rest[0].last.body == b"a=x%26y&b=1&b=2&c=%7B%22k%22%3A1%7D&d%5Bk%5D=1"


async def test_parts_of_a_form_may_be_files(rest: tuple[Rest, str]) -> None:
    """They are given as base64."""
    properties: JsonObject = {"file": {"type": "string", "format": "binary"}, 'na"me': {}, "o": {}}
    schema: JsonObject = {"type": "object", "properties": properties}
    body: JsonObject = {"required": True, "content": {"multipart/form-data": {"schema": schema}}}

    async with upstream_of(doc("post", "/x", requestBody=body), rest[1]) as upstream:
        value = {"file": base64.b64encode(b"\x00\xff").decode(), 'na"me': "v", "o": {"k": 1}}
        await upstream.request(call("op", body=value))

        with pytest.raises(InvalidArgument):
            await upstream.request(call("op", body={"file": "no base64!"}))

    asked = rest[0].last
    _, _, boundary = asked.headers["content-type"].partition("boundary=")
    parts = asked.body.split(f"--{boundary}".encode())
    assert parts[0] == b""
    assert parts[-1] == b"--\r\n"
    assert parts[1].endswith(b"\r\n\r\n\x00\xff\r\n")
    assert b'name="file"; filename="file"\r\ncontent-type: application/octet-stream' in parts[1]
    assert b'name="na%22me"' in parts[2]
    assert b'content-type: application/json\r\n\r\n{"k":1}' in parts[3]


async def test_text_is_sent_as_text(rest: tuple[Rest, str]) -> None:
    """Where that is all an API takes."""
    body: JsonObject = {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}}

    async with upstream_of(doc("post", "/x", requestBody=body), rest[1]) as upstream:
        await upstream.request(call("op", body="grün"))

        with pytest.raises(InvalidArgument, match="body: is missing"):
            await upstream.request(call("op"))

    assert rest[0].last.body == "grün".encode()


def answering(kind: str, method: str = "get", **said: Any) -> JsonObject:
    return doc(method, f"/as/{kind}", **said)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("list", {"content": [{"type": "text", "text": "[1,2]"}], "structuredContent": [1, 2]}),
        ("number", {"content": [{"type": "text", "text": "12"}], "structuredContent": 12}),
        ("null", {"content": [{"type": "text", "text": "null"}]}),
        ("broken", {"content": [{"type": "text", "text": '{"a": '}]}),
        ("latin", {"content": [{"type": "text", "text": "grün"}]}),
        (
            "problem",
            {
                "content": [{"type": "text", "text": '{"title":"t"}'}],
                "structuredContent": {"title": "t"},
            },
        ),
        (
            "png",
            {
                "content": [
                    {
                        "type": "image",
                        "data": base64.b64encode(PNG).decode(),
                        "mimeType": "image/png",
                    }
                ]
            },
        ),
        ("wav", {"content": [{"type": "audio", "data": "UklGRg==", "mimeType": "audio/wav"}]}),
        (
            "pdf",
            {
                "content": [
                    {
                        "type": "resource",
                        "resource": {
                            "uri": "openapi://up/op",
                            "mimeType": "application/pdf",
                            "blob": "JVBERg==",
                        },
                    }
                ]
            },
        ),
    ],
)
async def test_an_answer_becomes_what_it_is(
    rest: tuple[Rest, str], kind: str, wanted: JsonObject
) -> None:
    """JSON is structured and text, text is text, pictures and sounds are what they are."""
    async with upstream_of(answering(kind), rest[1]) as upstream:
        assert await upstream.request(call("op")) == wanted


async def test_a_success_without_content_says_so(rest: tuple[Rest, str]) -> None:
    """There is something to show for it."""
    async with upstream_of(doc("delete", "/status/204"), rest[1]) as upstream:
        result = await upstream.request(call("op"))

    assert text_of(result) == "The API answered 204 (No Content), without content."
    assert "isError" not in result


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500, 503, 302, 304])
async def test_a_refusal_is_told_so_that_the_call_can_be_mended(
    rest: tuple[Rest, str], status: int
) -> None:
    """The status, and what the API said; a redirect is not followed, nor shown."""
    async with upstream_of(doc("get", f"/status/{status}"), rest[1]) as upstream:
        result = await upstream.request(call("op"))

    assert result["isError"] is True
    told = text_of(result)
    assert told.startswith(f"The API answered {status} (")
    assert "elsewhere" not in told
    assert ("no such thing" in told) == (status != 304)
    assert len(told) < 2_200


@pytest.mark.parametrize(("status", "words"), [(401, "refused our"), (403, "refused our")])
async def test_a_refused_credential_is_the_gateways_failure(
    rest: tuple[Rest, str], status: int, words: str
) -> None:
    """Which is named; nothing of what the API said is shown."""
    document = doc("get", f"/status/{status}")

    async with upstream_of(document, rest[1], credential="s3cret") as upstream:
        with pytest.raises(UpstreamError, match=f"'up' {words}") as caught:
            await upstream.request(call("op"))

    assert caught.value.code == "mcp.upstream.credential_refused"

    async with upstream_of(document, rest[1]) as upstream:
        with pytest.raises(UpstreamError, match="wants a credential"):
            await upstream.request(call("op"))


async def test_an_api_that_is_asked_too_much_says_when_to_come_again(
    rest: tuple[Rest, str],
) -> None:
    """As any upstream."""
    async with upstream_of(doc("get", "/status/429"), rest[1]) as upstream:
        with pytest.raises(RateLimited) as caught:
            await upstream.request(call("op"))

    assert caught.value.retry_after == 7


async def test_an_answer_has_a_bound(rest: tuple[Rest, str]) -> None:
    """Beyond which it is not read."""
    async with upstream_of(answering("huge"), rest[1]) as upstream:
        with pytest.raises(UpstreamError, match="more than is taken"):
            await upstream.request(call("op"))


async def test_an_answer_that_breaks_its_promise_is_shown_as_it_is(rest: tuple[Rest, str]) -> None:
    """Clients would refuse it, and nobody would learn what was done."""
    document = answering("odd", responses=json_answer(THING))

    async with upstream_of(document, rest[1]) as upstream:
        result = await upstream.request(call("op"))

    assert result["isError"] is True
    assert "structuredContent" not in result
    content: Any = result["content"]
    assert "answered 200 (OK)" in content[0]["text"]
    assert "name: 5 is not of type 'string'" in content[0]["text"]
    assert content[1]["text"] == '{"name":5}'

    async with upstream_of(document, rest[1], output_schemas=False) as upstream:
        assert (await upstream.request(call("op")))["structuredContent"] == {"name": 5}


async def test_an_api_that_does_not_answer_is_given_up(rest: tuple[Rest, str]) -> None:
    """After the gateway's patience, or the caller's."""
    async with upstream_of(doc("get", "/hang/x"), rest[1]) as upstream:
        for late in (
            replace(call("op"), silence=0.05),
            replace(call("op"), deadline=0.0),
        ):
            with pytest.raises(UpstreamTimeout):
                await upstream.request(late)


async def test_a_cancelled_call_leaves_the_api() -> None:
    """Its connection is closed."""
    rest = Rest()

    async with (
        rest_api(rest) as url,
        upstream_of(doc("get", "/hang/x"), url) as upstream,
        anyio.create_task_group() as group,
    ):
        group.start_soon(upstream.request, call("op"))

        with anyio.fail_after(10):
            await rest.reached.wait()
            group.cancel_scope.cancel()

    with anyio.CancelScope(shield=True), anyio.fail_after(10):
        await rest.left.wait()


async def test_an_api_that_is_not_there_cannot_be_reached() -> None:
    """The gateway is named, its address is not."""
    async with upstream_of(doc("get", "/x"), "http://127.0.0.1:1") as upstream:
        with pytest.raises(UpstreamError) as caught:
            await upstream.request(call("op"))

    assert caught.value.code == "mcp.upstream.unreachable"
    assert "127.0.0.1" not in caught.value.message


async def test_the_trace_is_handed_on(rest: tuple[Rest, str]) -> None:
    """In the header that carries it."""
    trace = f"00-{'1' * 32}-{'2' * 16}-01"

    async with upstream_of(doc("get", "/x"), rest[1]) as upstream:
        await upstream.request(replace(call("op"), traceparent=trace))

    assert rest[0].last.headers["traceparent"] == trace


async def test_a_missing_argument_and_an_unknown_tool_are_named(rest: tuple[Rest, str]) -> None:
    """Also where nobody checked them before."""
    document = doc("get", "/x/{id}", parameters=[parameter("id", "path")])

    async with upstream_of(document, rest[1]) as upstream:
        with pytest.raises(InvalidArgument, match="id: is missing"):
            await upstream.request(call("op"))

        with pytest.raises(InvalidArgument, match="no such operation"):
            await upstream.request(call("other"))
