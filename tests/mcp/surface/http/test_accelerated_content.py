"""The two ways of reading, rendering and listing give the same answers, to the letter."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.plugin import HookPhase
from spindle_spi.records import Kind
from tests.mcp.support.records import Word, gateway, server
from tests.mcp.support.serving import serving
from tests.mcp.support.shelf import Shelf
from tests.mcp.surface.http.test_accelerated import (
    HEADERS,
    META,
    VERSION,
    ask,
    open_session,
    without,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.types import Json
    from tests.mcp.support.serving import Served

pytestmark = pytest.mark.anyio

UP = "spindle://up/"
TEXT: Any = {"type": "text", "text": "t"}
PAGES: dict[str, Any] = {
    "plain": {"uri": "a://plain", "text": "t"},
    "typed": {"uri": "a://typed", "mimeType": "text/plain", "text": "t"},
    "blob": {"uri": "a://blob", "blob": "aGk="},
    "both": {"uri": "a://both", "text": "t", "blob": "aGk="},
    "odd": {"uri": "a://odd", "text": "t", "odd": 1},
    "marked": {"uri": "a://marked", "text": "t", "_meta": {"a": 1}},
    "null": {"uri": "a://null", "text": "t", "mimeType": None},
    "wrong": {"uri": "a://wrong", "text": 7},
    "nobody": {"text": "t"},
}
MESSAGES: dict[str, Any] = {
    "plain": {"role": "user", "content": TEXT},
    "noted": {"role": "user", "content": {**TEXT, "annotations": {"priority": 1}}},
    "odd": {"role": "user", "content": TEXT, "odd": 1},
    "image": {"role": "user", "content": {"type": "image", "data": "aGk=", "mimeType": "image/x"}},
    "link": {"role": "user", "content": {"type": "resource_link", "name": "n", "uri": "a://b"}},
    "wrong": {"role": "user", "content": {"type": "text", "text": 7}},
    "system": {"role": "system", "content": TEXT},
}


def shelf() -> Shelf:
    read: dict[str, Any] = {
        f"resources/read a://{name}": {"contents": [page]} for name, page in PAGES.items()
    }
    got: dict[str, Any] = {
        f"prompts/get {name}": {"messages": [message]} for name, message in MESSAGES.items()
    }
    more: dict[str, Any] = {
        "resources/read a://hinted": {"contents": [], "ttlMs": 5, "_meta": {"a": 1}},
        "resources/read a://none": {},
        "resources/read a://asking": {"resultType": "input_required", "requestState": "s"},
        "prompts/get described": {"messages": [], "description": "d", "_meta": {"a": 1}},
        "prompts/get asking": {"resultType": "input_required", "requestState": "s"},
    }
    uris = [*PAGES, "hinted", "none", "asking", "gone", "broken"]
    names = [*MESSAGES, "described", "asking", "broken"]
    return Shelf(
        resources=[{"name": one, "uri": f"a://{one}"} for one in uris],
        templates=[{"name": "t", "uriTemplate": "a://{x}/{y}"}],
        prompts=[{"name": one} for one in names],
        results={**read, **got, **more, "resources/read": {"contents": [PAGES["plain"]]}},
        errors={
            "resources/read a://gone": -32602,
            "resources/read a://broken": -32603,
            "prompts/get broken": -32602,
        },
    )


@asynccontextmanager
async def both_ways(host: FakeHost) -> AsyncGenerator[tuple[Served, Served]]:
    async with AsyncExitStack() as stack:
        upstream = shelf()
        url = await stack.enter_async_context(upstream.running())
        host.records.add(gateway("up", url=url), server("bare", gateways=("up",), prefix_free=True))
        short, long = [
            await stack.enter_async_context(
                serving(host, {"a": caller("a")}, config={"accelerated": accelerated})
            )
            for accelerated in (True, False)
        ]
        await upstream.until_listed(host, Kind.PROMPT, "up__plain")
        yield short, long


def request(
    method: str, key: str, name: Any, params: Any = None, **headers: str
) -> tuple[dict[str, str], Any]:
    said: dict[str, Any] = {key: name, "_meta": META, **(params or {})}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": said}
    return {
        **HEADERS,
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": method,
        "mcp-name": name if isinstance(name, str) else "x",
        **headers,
    }, message


def read(uri: Any, params: Any = None, **headers: str) -> tuple[dict[str, str], Any]:
    return request("resources/read", "uri", uri, params, **headers)


def get(name: Any, params: Any = None, **headers: str) -> tuple[dict[str, str], Any]:
    return request("prompts/get", "name", name, params, **headers)


def listing(method: str, **params: Json) -> tuple[dict[str, str], Any]:
    headers, message = request(method, "_meta", META, params)
    return without(headers, "mcp-name"), message


LISTS = ("tools/list", "resources/list", "resources/templates/list", "prompts/list")
MODERN: dict[str, tuple[dict[str, str], Any]] = {
    **{f"read {name}": read(f"{UP}a://{name}") for name in PAGES},
    **{f"read {name}": read(f"{UP}a://{name}") for name in ("hinted", "none", "gone", "broken")},
    "read what asks": read(f"{UP}a://asking"),
    "read by template": read(f"{UP}a://x/y"),
    "read beyond a template": read(f"{UP}a://x/../y"),
    "read what is not there": read(f"{UP}b://x"),
    "read what is nobody's": read("a://plain"),
    "read nothing": read(""),
    "read a number": read(7),
    "read with an accent": read("né", **{"mcp-name": "=?base64?bsOp?="}),
    "read something very long": read(f"{UP}a://" + "x" * 9000, **{"mcp-name": "x"}),
    "read with more": read(f"{UP}a://plain", {"extra": 1}),
    "read with answers": read(f"{UP}a://plain", {"inputResponses": {}}),
    "read with progress": read(f"{UP}a://plain", {"_meta": {**META, "progressToken": 7}}),
    "read without capabilities": read(f"{UP}a://plain", {"_meta": {VERSION: "2026-07-28"}}),
    "read under another name": read(f"{UP}a://plain", **{"mcp-name": "other"}),
    "read by another method": read(f"{UP}a://plain", **{"mcp-method": "prompts/get"}),
    **{f"get {name}": get(f"up__{name}") for name in MESSAGES},
    **{f"get {name}": get(f"up__{name}") for name in ("described", "asking", "broken")},
    "get what is not there": get("up__none"),
    "get with arguments": get("up__plain", {"arguments": {"a": "b"}}),
    "get with a number": get("up__plain", {"arguments": {"a": 7}}),
    "get with a list": get("up__plain", {"arguments": []}),
    "get with null": get("up__plain", {"arguments": None}),
    "get a number": get(7),
    "get with more": get("up__plain", {"extra": 1}),
    **{method: listing(method) for method in LISTS},
    **{f"{method} on": listing(method, cursor="x") for method in LISTS},
    **{f"{method} with more": listing(method, extra=1) for method in LISTS},
}


async def test_a_modern_request_is_answered_the_same_both_ways() -> None:
    """Plain or odd, right or wrong: status, messages and their order."""
    async with both_ways(FakeHost()) as (short, long), httpx2.AsyncClient(timeout=20) as http:
        for name, (headers, message) in MODERN.items():
            first = await ask(http, short.endpoint(), headers, message)
            assert first == await ask(http, long.endpoint(), headers, message), name

        for headers, message in (read("a://plain"), read("a://x/y"), get("plain"), get("link")):
            first = await ask(http, short.endpoint("bare"), headers, message)
            assert first == await ask(http, long.endpoint("bare"), headers, message)
            assert first[0] == 200


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_a_request_in_a_session_is_answered_the_same_both_ways(version: str) -> None:
    """The message is the same, whatever frames it."""
    async with both_ways(FakeHost()) as (short, long), httpx2.AsyncClient(timeout=20) as http:
        one = await open_session(http, short.endpoint(), version)
        other = await open_session(http, long.endpoint(), version)

        for name, (_, message) in MODERN.items():
            meta: Any = message["params"].get("_meta") or {}
            params = {key: value for key, value in message["params"].items() if key != "_meta"}

            if "progressToken" in meta:
                params["_meta"] = {"progressToken": meta["progressToken"]}

            older = {**message, "params": params}
            first = await ask(http, short.endpoint(), one, older)
            assert first == await ask(http, long.endpoint(), other, older), name


async def test_judged_requests_are_the_same_both_ways() -> None:
    """Hooks replace and refuse wherever the request went."""
    host = FakeHost()
    phases = (HookPhase.PRE_FETCH, HookPhase.POST_FETCH)

    async with both_ways(host) as (short, long), httpx2.AsyncClient(timeout=20) as http:
        for plugin in (Word("t", "***", phases[1]), Word("t", None, *phases), Word("p", "q")):
            host.plugins[:] = [plugin]

            for headers, message in (read(f"{UP}a://plain"), get("up__plain"), get("up__image")):
                first = await ask(http, short.endpoint(), headers, message)
                assert first == await ask(http, long.endpoint(), headers, message)

    statuses = [settled.outcome.status for settled in host.journal.settled]
    assert statuses[::2] == statuses[1::2]


async def test_plain_requests_do_take_the_short_way() -> None:
    """Or the tests above would compare the long way with itself: it answers sessions in events."""
    plain = ("read typed", "read by template", "get plain", "get with arguments", *LISTS)

    async with both_ways(FakeHost()) as (short, long), httpx2.AsyncClient(timeout=20) as http:
        for served, kind in ((short, "application/json"), (long, "text/event-stream")):
            session = await open_session(http, served.endpoint(), "2025-11-25")

            for name in plain:
                _, message = MODERN[name]
                params = {key: said for key, said in message["params"].items() if key != "_meta"}
                answer = await http.post(
                    served.endpoint(), json={**message, "params": params}, headers=session
                )
                assert answer.headers["content-type"] == kind, name
