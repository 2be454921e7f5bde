from __future__ import annotations

from typing import Any

import httpx2
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.admission import Status
from spindle_spi.plugin import HookPhase
from spindle_spi.records import Kind
from tests.mcp.support.records import Word, gateway
from tests.mcp.support.serving import serving
from tests.mcp.support.shelf import Shelf
from tests.mcp.surface.http.test_accelerated import CAPABILITIES, META, ask
from tests.mcp.surface.http.test_accelerated_content import get, read

pytestmark = pytest.mark.anyio

QUESTION: Any = {"method": "roots/list"}
ASKING: Any = {"resultType": "input_required", "inputRequests": {"q": QUESTION}}
ABLE: Any = {"_meta": {**META, CAPABILITIES: {"roots": {}}}}
ANSWER: Any = {"q": {"roots": [{"uri": "file:///tmp"}]}}
REQUESTS: dict[str, Any] = {
    "prompts/get p": (get, "up__p", "up__other"),
    "resources/read a://r": (read, "spindle://up/a://r", "spindle://up/a://other"),
}


@pytest.fixture(autouse=True, params=[True, False], ids=["short", "long"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here holds for both ways of a request."""
    monkeypatch.setattr("tests.mcp.support.serving.ACCELERATED", bool(request.param))


@pytest.mark.parametrize("asked", list(REQUESTS))
async def test_an_upstream_may_ask_before_it_is_read_or_rendered(asked: str) -> None:
    """The client holds a sealed state, good for that one request; each round is a call."""
    make, name, other = REQUESTS[asked]
    names = ("r", "other")
    shelf = Shelf(
        prompts=[{"name": "p"}, {"name": "other"}],
        resources=[{"name": one, "uri": f"a://{one}"} for one in names],
        results={asked: {**ASKING, "requestState": "theirs"}},
    )
    host = FakeHost()

    async with shelf.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, {"a": caller("a")}) as served,
            httpx2.AsyncClient(timeout=20) as http,
        ):
            await shelf.until_listed(host, Kind.PROMPT, "up__other")
            _, (refused,) = await ask(http, served.endpoint(), *make(name))
            assert refused["error"]["data"]["requiredCapabilities"] == {"roots": {}}
            _, (first,) = await raw(http, served.endpoint(), *make(name, ABLE))
            sealed = first["result"]["requestState"]
            assert first["result"]["resultType"] == "input_required"
            assert first["result"]["inputRequests"]["q"]["method"] == "roots/list"
            assert "theirs" not in sealed
            again = {**ABLE, "inputResponses": ANSWER, "requestState": sealed}
            _, (stolen,) = await raw(http, served.endpoint(), *make(other, again))
            assert stolen["error"]["code"] == -32602
            before = len(shelf.asked)
            await raw(http, served.endpoint(), *make(name, again))
            (params,) = shelf.asked[before:]
            assert params["inputResponses"] == ANSWER
            assert params["requestState"] == "theirs"
            host.plugins.append(Word("tmp", "***", HookPhase.PRE_FETCH, HookPhase.POST_FETCH))
            await raw(http, served.endpoint(), *make(name, again))
            assert shelf.asked[-1]["inputResponses"] == {"q": {"roots": [{"uri": "file:///***"}]}}

    statuses = [settled.outcome.status for settled in host.journal.settled]
    assert statuses == [Status.ERROR, Status.OK, Status.OK, Status.OK]
    assert not host.open_permits


async def raw(
    http: httpx2.AsyncClient, url: str, headers: dict[str, str], message: Any
) -> tuple[int, list[Any]]:
    """Ask as it is, the state of the answer included."""
    answer = await http.post(url, json=message, headers=headers)
    return answer.status_code, [answer.json()]


async def test_a_question_in_place_of_completions_is_the_upstreams_failure() -> None:
    """The protocol has no rounds there."""
    shelf = Shelf(prompts=[{"name": "p"}], results={"completion/complete": ASKING})
    shelf.capabilities["completions"] = {}
    host = FakeHost()

    async with shelf.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, {"a": caller("a")}) as served,
            httpx2.AsyncClient(timeout=20) as http,
        ):
            await shelf.until_listed(host, Kind.PROMPT, "up__p")
            headers, message = get("up__p", ABLE, **{"mcp-method": "completion/complete"})
            message["method"] = "completion/complete"
            message["params"] = {
                **ABLE,
                "ref": {"type": "ref/prompt", "name": "up__p"},
                "argument": {"name": "a", "value": "b"},
            }
            del headers["mcp-name"]
            _, (answer,) = await ask(http, served.endpoint(), headers, message)

    assert answer["error"]["data"]["origin"] == "upstream"
