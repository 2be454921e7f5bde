"""Anthropic's list of models, page by page; its health; its count of tokens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.anthropic import AnthropicSimulator
from spindle_conformance.upstreams.server import Seen
from spindle_llm.providers.anthropic import AnthropicAdapter
from spindle_llm.providers.anthropic_count import AnthropicTokenCount
from spindle_llm.providers.base import Condition
from spindle_llm.providers.inquiry import Reply
from spindle_spi.errors import UpstreamError
from spindle_spi.records import ModelSpec, ProviderSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

BASE = "http://upstream"
SPEC = ModelSpec(provider="up", upstream_name="m")


class Asked:
    """Questions that are answered without a wire."""

    provider = "up"
    base = BASE

    def __init__(self, answer: Callable[[str], Reply]) -> None:
        self._answer = answer
        self.paths: list[str] = []

    async def get(self, url: str) -> Reply:
        """Answer a question."""
        path = url.removeprefix(BASE)
        self.paths.append(path)
        return self._answer(path)

    async def post(self, url: str, body: JsonObject) -> Reply:
        """Nobody asks so."""
        raise AssertionError(url, body)


def simulated(simulator: AnthropicSimulator, size: int) -> Callable[[str], Reply]:
    """Answer as the simulator does, with pages of another size."""

    def answer(path: str) -> Reply:
        seen = Seen(
            method="GET",
            path=path.replace("limit=1000", f"limit={size}"),
            headers={"anthropic-version": "2023-06-01"},
        )
        play = simulator.answer(seen)
        return Reply(status=play.status, headers=dict(play.headers), body=play.body)

    return answer


def told(value: Json, status: int = 200) -> Callable[[str], Reply]:
    """Answer always the same."""
    return lambda _: Reply(status=status, headers={}, body=json.dumps(value).encode())


@pytest.mark.requirement("001-services")
async def test_the_models_of_every_page_are_listed() -> None:
    """With what the vendor says of each: windows, senses, name, age."""
    simulator = AnthropicSimulator()
    inquiry = Asked(simulated(simulator, 40))
    records = await AnthropicAdapter().models(inquiry)
    assert len(inquiry.paths) > 1
    assert [record.name for record in records] == [f"up~{name}" for name in simulator.names()]
    spec = records[0].spec
    assert isinstance(spec, ModelSpec)
    assert (spec.context_window, spec.max_output_tokens) == (200_000, 64_000)
    assert (spec.model_type, spec.created, spec.deprecated) == ("vlm", 1_767_225_600, False)
    assert records[0].description


async def test_a_list_that_says_little_is_read() -> None:
    """A model is what has an id; a page that names no last one is the last."""
    page: JsonObject = {
        "data": [{"id": "a", "lifecycle": "retired", "created_at": "soon"}, {"id": ""}, "x"],
        "has_more": True,
    }
    (record,) = await AnthropicAdapter().models(Asked(told(page)))
    spec = record.spec
    assert isinstance(spec, ModelSpec)
    assert (spec.model_type, spec.created, spec.deprecated) == ("llm", 0, True)
    assert "vision" not in spec.supports


async def test_pages_without_end_are_read_to_a_bound() -> None:
    """An upstream that always has more."""
    inquiry = Asked(told({"data": [{"id": "a"}], "has_more": True, "last_id": "a"}))
    assert len(await AnthropicAdapter().models(inquiry)) == len(inquiry.paths) <= 10


@pytest.mark.parametrize(("value", "status"), [({}, 200), ({"data": 1}, 200), ({}, 401)])
async def test_what_is_no_list_is_refused(value: Json, status: int) -> None:
    """Another form, a refusal."""
    with pytest.raises(UpstreamError):
        await AnthropicAdapter().models(Asked(told(value, status)))


def test_health_is_the_shortest_list() -> None:
    """There is nothing cheaper; a credential it does not take is said as such."""
    adapter = AnthropicAdapter()
    assert adapter.health_url(BASE) == f"{BASE}/v1/models?limit=1"
    assert adapter.condition(Reply(status=401, headers={}, body=b"")) is Condition.UNAUTHORIZED


def test_tokens_are_counted_by_the_same_request() -> None:
    """Without what bears on the answer alone."""
    count = AnthropicAdapter().token_count(ProviderSpec(provider_type="anthropic"))
    assert isinstance(count, AnthropicTokenCount)
    assert count.url(BASE, "m") == f"{BASE}/v1/messages/count_tokens"
    request: JsonObject = {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "max_tokens": 5,
        "temperature": 0.5,
        "stream": True,
        "anthropic": {"betas": ["b"], "metadata": {"user_id": "x"}},
    }
    encoded = count.encode(request, spec=SPEC)
    assert json.loads(encoded.body).keys() == {"model", "messages", "system"}
    assert encoded.headers == {"anthropic-beta": "b"}
    assert count.decode(b'{"input_tokens":5}') == 5

    for data in (b"{}", b'{"input_tokens":true}', b'{"input_tokens":-1}', b"x"):
        with pytest.raises(UpstreamError):
            count.decode(data)
