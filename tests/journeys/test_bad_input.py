"""What a client should not send: every surface refuses it in its own shape, and then serves on.

One row for each surface, one column for each kind of bad request; a cell is a raw request to a
real gateway. Left out: bodies on GET routes, which nobody reads.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest

from tests.journeys.gateway import Gateway, create_token, in_force, running_gateway, spindle
from tests.journeys.raw_http import send
from tests.journeys.surfaces import MARK, POSTS, SURFACES, TEXTS, Rig, assert_refused, rig_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

DEEP = b"[" * 10_000 + b"]" * 10_000


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Rig]:
    home: Path = tmp_path_factory.mktemp("home")

    async with running_gateway(home) as gateway:
        yield await rig_of(gateway)


def broken(body: bytes, cell: str) -> bytes:
    """Return a good body spoilt in the way of a column."""
    mark = MARK.encode()

    return {
        "malformed": body[:-3],
        "empty": b"",
        "not-an-object": b"[]",
        "a-number": b"3",
        "trailing": body + b"x",
        "wrong-types": b'{"jsonrpc":2,"id":{},"model":5,"messages":7,"user_id":[],"method":{}}',
        "deep": body[:-1] + b',"deep":' + DEEP + b"}",
        "invalid-utf8": body.replace(mark, b"\xff\xfe"),
        "raw-surrogate": body.replace(mark, b"\xed\xa0\x80"),
        "escaped-surrogate": body.replace(mark, b"\\ud800"),
    }[cell]


ANYWHERE = ["malformed", "empty", "not-an-object", "a-number", "trailing", "wrong-types", "deep"]
IN_A_TEXT = ["invalid-utf8", "raw-surrogate", "escaped-surrogate"]
LENIENT = {
    # The MCP library reads half a surrogate pair in the current protocol as Python does.
    (name, cell)
    for name in ("modern", "server")
    for cell in ("raw-surrogate", "escaped-surrogate")
}
CELLS = [
    *((name, cell) for name in POSTS for cell in ANYWHERE),
    *((name, cell) for name in TEXTS for cell in IN_A_TEXT if (name, cell) not in LENIENT),
]


@pytest.mark.parametrize(("name", "cell"), CELLS)
async def test_a_body_that_cannot_be_read_is_refused(rig: Rig, name: str, cell: str) -> None:
    """400 in the surface's shape, nothing admitted, and the next request is answered."""
    good = rig.good(name)
    before = await rig.settled()
    answer = await send(rig.url, replace(good, body=broken(good.body, cell)))
    assert_refused(answer, name)
    assert await rig.settled() == before
    await rig.check_serving(name)


@pytest.mark.parametrize(("name", "cell"), sorted(LENIENT))
async def test_half_a_surrogate_pair_over_mcp_does_no_harm(rig: Rig, name: str, cell: str) -> None:
    """Either refused, or answered in JSON that can be read; never a failure of ours."""
    good = rig.good(name)
    answer = await send(rig.url, replace(good, body=broken(good.body, cell)))
    assert answer.status in (200, 400)
    assert answer.body.isascii()
    assert answer.json
    await rig.check_serving(name)


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("name", POSTS)
async def test_a_body_of_twenty_megabytes_is_refused(
    rig: Rig, name: str, *, is_chunked: bool
) -> None:
    """413, however it is announced."""
    good = rig.good(name)
    body = good.body[:-1] + b',"more":"' + b"x" * 20_000_000 + b'"}'
    answer = await send(rig.url, replace(good, body=body, is_chunked=is_chunked))
    assert_refused(answer, name, 413)
    await rig.check_serving(name)


@pytest.mark.parametrize("name", ["chat", "stream", "connect"])
@pytest.mark.parametrize(
    ("key", "status"),
    [('"model": "up~secret", "model"', 400), ('"Model"', 400), ('"MODEL"', 400)],
)
async def test_a_model_named_in_two_ways_is_refused(
    rig: Rig, name: str, key: str, status: int
) -> None:
    """Twice, or in another case: nobody guesses which one was meant."""
    good = rig.good(name)
    body = good.body.replace(b'"model"', key.encode())
    assert_refused(await send(rig.url, replace(good, body=body)), name, status)
    await rig.check_serving(name)


@pytest.mark.parametrize("name", ["chat", "stream"])
async def test_a_model_key_with_escapes_is_refused(rig: Rig, name: str) -> None:
    """The body goes on as it came, so the upstream might read the key in another way.

    Of a session chat's body nothing goes on, so there an escape is as good as a letter.
    """
    good = rig.good(name)
    body = good.body.replace(b'"model"', rb'"\u006dodel"')
    assert_refused(await send(rig.url, replace(good, body=body)), name)
    await rig.check_serving(name)


@pytest.mark.parametrize("wanted", ["up~nothing", "up~secret"])
@pytest.mark.parametrize(("name", "status"), [("chat", 404), ("stream", 404), ("connect", 404)])
async def test_an_unknown_and_a_hidden_model_are_not_there(
    rig: Rig, name: str, status: int, wanted: str
) -> None:
    """The same refusal for both."""
    good = rig.good(name)
    body = good.body.replace(b"up~plain", wanted.encode())
    before = await rig.settled()
    error = assert_refused(await send(rig.url, replace(good, body=body)), name, status)
    assert wanted in str(error["message"])
    assert await rig.settled() == before
    await rig.check_serving(name)


@pytest.mark.parametrize("wanted", ["up~nothing", "up~secret", "a%2Fb", "%ff", "%00", "x" * 5000])
async def test_a_model_that_is_not_there_cannot_be_read(rig: Rig, wanted: str) -> None:
    """404, whatever its name looks like on the wire."""
    good = replace(rig.good("model"), path=f"/v1/models/{wanted}")
    error = assert_refused(await send(rig.url, good), "model", 404)
    assert error["code"] == "model_not_found"
    await rig.check_serving("model")


@pytest.mark.parametrize("wanted", ["demo__nothing", "vault__echo", "n" * 5000])
@pytest.mark.parametrize("name", ["modern", "legacy", "server"])
async def test_an_unknown_and_a_hidden_tool_are_not_there(rig: Rig, name: str, wanted: str) -> None:
    """Invalid params; before 2026 the protocol wraps that in a 200."""
    good = rig.good(name)
    headers = {**good.headers, "mcp-name": wanted} if name != "legacy" else good.headers
    body = good.body.replace(b"demo__echo", wanted.encode())
    before = await rig.settled()
    answer = await send(rig.url, replace(good, headers=headers, body=body))
    assert answer.status == (200 if name == "legacy" else 400)
    error = answer.json["error"]
    assert isinstance(error, dict)
    # A caller's word is repeated only so far.
    shown = wanted if len(wanted) <= 200 else f"{wanted[:200]}…"
    assert (error["code"], error["message"]) == (-32602, f"Unknown tool: {shown}")
    assert await rig.settled() == before
    await rig.check_serving(name)


@pytest.mark.parametrize(
    ("path", "status"), [("/servers/nothing/mcp", 404), ("/servers/a%2Fb/mcp", 404)]
)
async def test_an_unknown_server_is_not_there(rig: Rig, path: str, status: int) -> None:
    """404 before anything of the body is read."""
    good = replace(rig.good("server"), path=path)
    assert_refused(await send(rig.url, good), "server", status)
    await rig.check_serving("server")


@pytest.mark.parametrize("name", SURFACES)
async def test_a_revoked_token_is_refused_within_a_second(rig: Rig, name: str) -> None:
    """401 with a challenge, in the surface's shape."""
    good = rig.good(name)
    headers = {**good.headers, "authorization": f"Bearer {await revoked(rig.gateway)}"}
    answer = await send(rig.url, replace(good, headers=headers))
    assert_refused(answer, name, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    await rig.check_serving(name)


_REVOKED: dict[str, str] = {}


async def revoked(gateway: Gateway) -> str:
    """Return a token that was good, and is not any more; one serves the whole file."""
    if gateway.url not in _REVOKED:
        token = await create_token(gateway.process.home, "--team", "gone", "--role", "developer")
        await in_force(gateway.process, token)
        await spindle(gateway.process.home, "token", "revoke", await gateway.token_id("gone"))

        with anyio.fail_after(2):
            async with gateway.process.client(token) as client:
                while (await client.get("/v1/models")).status_code != 401:
                    await anyio.sleep(0.02)

        _REVOKED[gateway.url] = token

    return _REVOKED[gateway.url]


@pytest.mark.parametrize("kind", [None, "text/plain", "application/json; charset=utf-8"])
@pytest.mark.parametrize("name", [name for name in POSTS if SURFACES[name].shape != "json-rpc"])
async def test_the_content_type_is_not_what_a_chat_is_judged_by(
    rig: Rig, name: str, kind: str | None
) -> None:
    """Missing, wrong or with parameters: the body is JSON or it is not."""
    if name == "turn":
        assert (await send(rig.url, rig.good("connect"))).status == 200

    good = rig.good(name)
    headers = {**good.headers, "content-type": kind}
    assert (await send(rig.url, replace(good, headers=headers))).status == 200
    await rig.check_serving(name)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/xml"])
@pytest.mark.parametrize("name", ["modern", "legacy", "server"])
async def test_mcp_wants_its_content_type(rig: Rig, name: str, kind: str | None) -> None:
    """The protocol's library refuses another one, with words of its own."""
    good = rig.good(name)
    answer = await send(rig.url, replace(good, headers={**good.headers, "content-type": kind}))
    assert answer.status in (400, 415)
    assert answer.headers["x-spindle-origin"] == "client"
    assert "content-type" in answer.text.lower()
    await rig.check_serving(name)


@pytest.mark.parametrize("name", SURFACES)
async def test_an_unknown_path_below_a_surface_is_not_there(rig: Rig, name: str) -> None:
    """404, in the shape of what is around it."""
    path = SURFACES[name].path.partition("<")[0].rstrip("/") + "/no/such"
    # Below a model's name is another model's name.
    status = 404
    answer = await send(rig.url, replace(rig.good(name), path=path))
    assert_refused(answer, "server" if name == "server" else name, status)
    await rig.check_serving(name)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("name", SURFACES)
async def test_a_wrong_method_is_told_the_right_ones(rig: Rig, name: str, method: str) -> None:
    """405 with `Allow`."""
    answer = await send(rig.url, replace(rig.good(name), method=method))
    assert_refused(answer, name, 405)
    assert SURFACES[name].method in answer.headers["allow"]
    await rig.check_serving(name)


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize(
    ("header", "value", "status", "origin"),
    [
        ("host", "evil.example", 421, "client"),
        ("origin", "http://evil.example", 403, "policy"),
        ("origin", "null", 403, "policy"),
        ("authorization", "Basic eDp5", 401, "client"),
        ("authorization", "Bearer \xff", 401, "client"),
    ],
)
async def test_a_bad_header_is_refused(
    rig: Rig, name: str, header: str, value: str, status: int, origin: str
) -> None:
    """Rebinding and credentials that are none, on every surface."""
    good = rig.good(name)
    answer = await send(rig.url, replace(good, headers={**good.headers, header: value}))
    assert_refused(answer, name, status, origin)
    await rig.check_serving(name)


@pytest.mark.parametrize("name", SURFACES)
async def test_a_context_a_client_made_up_changes_nothing(rig: Rig, name: str) -> None:
    """The header of sidecars is taken off; the caller stays who the token says."""
    good = rig.good(name)
    headers = {**good.headers, "x-spindle-context": "eyJhZG1pbiI6dHJ1ZX0.c2lnbmVk"}

    if name == "turn":
        assert (await send(rig.url, rig.good("connect"))).status == 200

    assert (await send(rig.url, replace(good, headers=headers))).status == 200
    await rig.check_serving(name)


@pytest.mark.parametrize("name", SURFACES)
async def test_a_giant_header_harms_nobody(rig: Rig, name: str) -> None:
    """Refused or ignored; not a failure."""
    good = rig.good(name)

    if name == "turn":
        assert (await send(rig.url, rig.good("connect"))).status == 200

    answer = await send(rig.url, replace(good, headers={**good.headers, "x-big": "x" * 200_000}))
    assert answer.status in (200, 431)
    await rig.check_serving(name)


async def test_a_batch_is_no_request(rig: Rig) -> None:
    """The protocol has no batches any more, in either era."""
    for name in ("modern", "legacy", "server"):
        good = rig.good(name)
        body = b"[" + good.body + b"," + good.body + b"]"
        before = await rig.settled()
        assert_refused(await send(rig.url, replace(good, body=body)), name)
        assert await rig.settled() == before


async def test_a_model_asked_as_a_tool_is_asked_with_text(rig: Rig) -> None:
    """Half a surrogate pair cannot be sent on; the caller is told, and nothing fails."""
    good = rig.good("modern")
    body = good.body.replace(b"demo__echo", b"ask").replace(b'"text"', b'"prompt"')
    body = body.replace(MARK.encode(), rb"\ud800")
    answer = await send(
        rig.url, replace(good, headers={**good.headers, "mcp-name": "ask"}, body=body)
    )
    assert "Something went wrong" not in answer.text
    assert answer.status in (200, 400)
    await rig.check_serving("modern")


async def test_a_user_who_reconnects_all_the_time_is_told_of_chats_not_of_records(rig: Rig) -> None:
    """One of the connections wins; the others, and their turns, hear what became of them."""
    codes: set[object] = set()

    async def ask(name: str) -> None:
        answer = await send(rig.url, rig.good(name))

        if answer.status != 200:
            error = answer.json["error"]
            codes.add(error["code"] if isinstance(error, dict) else error)

    async with anyio.create_task_group() as group:
        for _ in range(12):
            for name in ("connect", "turn", "disconnect"):
                group.start_soon(ask, name)

    expected = ("no_session", "session_unusable", "turn_running", "replaced")
    assert codes <= {f"llm.chat.{code}" for code in expected}
    await rig.check_serving("turn")


async def test_every_call_of_this_file_has_its_row(rig: Rig) -> None:
    """What was counted was written: nothing is lost between a settled permit and the store."""
    counted = sum((await rig.settled()).values())

    with anyio.fail_after(5):
        while True:
            with sqlite3.connect(rig.gateway.process.home / "spindle.db") as database:
                (rows,) = database.execute("SELECT count(*) FROM usage").fetchone()

            if rows == counted:
                return

            await anyio.sleep(0.05)
