"""A gateway's credential: where the document wants it, and nowhere else."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from spindle_spi.errors import InvalidArgument, UpstreamError
from tests.mcp.support.rest import OBJECT, Rest, openapi, parameter, rest_api
from tests.mcp.upstream.openapi.support import call, doc, text_of, tools_of, upstream_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

SECRET = "canary/9f:2+secret value"


@pytest.fixture(name="rest", scope="module")
async def _rest() -> AsyncGenerator[tuple[Rest, str]]:
    rest = Rest()

    async with rest_api(rest) as url:
        yield rest, url


SCHEMES: JsonObject = {
    "head": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "key"},
    "crumb": {"type": "apiKey", "in": "cookie", "name": "crumb"},
    "bearer": {"type": "http", "scheme": "Bearer"},
    "basic": {"type": "http", "scheme": "basic"},
    "oauth": {"type": "oauth2", "flows": {}},
}
_PAIR = base64.b64encode(SECRET.encode()).decode()


PLACES: list[tuple[Any, str, str]] = [
    ([{"head": []}], "x-key", SECRET),
    ([{"query": []}], "?", "key=canary%2F9f%3A2%2Bsecret%20value"),
    ([{"crumb": []}], "cookie", "crumb=canary%2F9f%3A2%2Bsecret%20value"),
    ([{"bearer": []}], "authorization", f"Bearer {SECRET}"),
    ([{"oauth": ["read"]}], "authorization", f"Bearer {SECRET}"),
    ([{"basic": []}], "authorization", f"Basic {_PAIR}"),
    ([{"head": [], "query": []}, {"bearer": []}], "authorization", f"Bearer {SECRET}"),
    (None, "x-key", SECRET),
    ([], "", ""),
    ([{"head": [], "query": []}, {}], "", ""),
]


@pytest.mark.parametrize(("security", "place", "value"), PLACES)
async def test_the_credential_goes_where_the_document_says(
    rest: tuple[Rest, str], security: Any, place: str, value: str
) -> None:
    """Once, and nowhere else; what the API says back of it is not shown."""
    said = {} if security is None else {"security": security}
    document = doc("get", "/x", components={"securitySchemes": SCHEMES}, **said)

    async with upstream_of(document, rest[1], credential=SECRET) as upstream:
        result = await upstream.request(call("op"))

    asked = rest[0].last
    sent = {**asked.headers, "?": asked.query}
    places = ("authorization", "x-key", "cookie", "?")
    assert {name for name in places if sent.get(name)} == ({place} if place else set())
    assert sent.get(place, "") == value
    shown = json.dumps(result)

    for form in (SECRET, _PAIR, "canary%2F9f%3A2%2Bsecret%20value", "2+secret value", "canary"):
        assert form not in shown


@pytest.mark.parametrize("security", [[{name: []}] for name in SCHEMES])
async def test_a_refusal_that_says_the_credential_back_is_redacted(
    rest: tuple[Rest, str], security: Any
) -> None:
    """In whatever form it was sent."""
    components: JsonObject = {"securitySchemes": SCHEMES}
    document = doc("get", "/status/400", components=components, security=security)

    async with upstream_of(document, rest[1], credential=SECRET) as upstream:
        shown = json.dumps(await upstream.request(call("op")))

    assert "***" in shown
    assert "canary" not in shown
    assert _PAIR not in shown


async def test_a_credential_that_is_a_common_word_spoils_no_answer(rest: tuple[Rest, str]) -> None:
    """In a refusal it is masked all the same."""
    document = openapi({"/x": {"get": {"operationId": "op"}}, "/status/400": {"get": {}}})

    async with upstream_of(document, rest[1], credential="thing") as upstream:
        result: Any = await upstream.request(call("op"))
        assert result["structuredContent"]["headers"]["authorization"] == "Bearer thing"
        refused = await upstream.request(call("get_status_400"))
        assert "thing" not in text_of(refused)


async def test_a_chosen_scheme_is_the_one(rest: tuple[Rest, str]) -> None:
    """Of several that would do."""
    document = doc("get", "/x", components={"securitySchemes": SCHEMES})
    options: dict[str, Any] = {"credential": "abcdef", "security_scheme": "query"}

    async with upstream_of(document, rest[1], **options) as upstream:
        await upstream.request(call("op"))
        assert rest[0].last.query == "key=abcdef"


@pytest.mark.parametrize("place", ["query", "header", "cookie"])
async def test_no_argument_stands_in_for_the_credential(rest: tuple[Rest, str], place: str) -> None:
    """Parameters that are credentials are no arguments, whoever describes them."""
    scheme = {"type": "apiKey", "in": place, "name": "key"}
    document = doc(
        "get",
        "/x",
        parameters=[parameter("key", place), parameter("q", schema=OBJECT)],
        components={"securitySchemes": {"k": scheme}},
        security=[{"k": []}],
    )

    async with upstream_of(document, rest[1], credential="abcdef") as upstream:
        (tool,) = await tools_of(upstream)
        schema: Any = tool["inputSchema"]
        assert list(schema["properties"]) == ["q"]

        with pytest.raises(InvalidArgument):
            await upstream.request(call("op", key="mine"))

        if place == "query":
            with pytest.raises(InvalidArgument, match="own credential"):
                await upstream.request(call("op", q={"key": "mine"}))


async def test_a_credential_that_cannot_be_sent_is_not_shown(rest: tuple[Rest, str]) -> None:
    """The error says whose it is."""
    async with upstream_of(doc("get", "/x"), rest[1], credential="two\nlines") as upstream:
        with pytest.raises(UpstreamError, match="credential of the gateway 'up'") as caught:
            await upstream.request(call("op"))

    assert "two" not in str(caught.value)
