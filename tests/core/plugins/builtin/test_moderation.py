"""The plugin `moderation` asks a model through the core; nothing passes without a verdict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from spindle.plugins.builtin.moderation import Moderation, NoVerdict
from spindle.plugins.host import JUDGING
from spindle_spi.errors import Internal, PluginDenied, RateLimited
from spindle_spi.invocation import Complete, Invocation, Result, StreamEvent, Streaming
from spindle_spi.plugin import HookPhase, Lane
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from tests.core.heart import Heart, Owner, open_heart
from tests.core.plugins.samples import call, text_segment

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
    from pathlib import Path

    from spindle_spi.types import Json

pytestmark = pytest.mark.anyio

ASK = Target(kind=Kind.TOOL, name="ask")
JUDGE = "up~red"
ENTRY = """
plugins:
  entries:
    - name: safe
      plugin: moderation
      config: {model: up~red, categories: [hate, spam], threshold: 0.6}
"""


def chat(content: Json) -> Complete:
    return Complete(payload={"choices": [{"message": {"role": "assistant", "content": content}}]})


def scores(**values: float) -> Complete:
    return chat(json.dumps({"hate": 0.0, "spam": 0.0, **values}))


def harmless(_: Invocation) -> Result:
    return scores()


class Judged(Owner):
    """The module behind both: it serves the tool, and is the model that judges."""

    verdict: Callable[[Invocation], Result]

    def __init__(self) -> None:
        super().__init__()
        self.answer = self._answer
        self.verdict = harmless

    def _answer(self, invocation: Invocation) -> Result:
        if invocation.target.kind is Kind.MODEL:
            return self.verdict(invocation)

        return Complete(payload={"content": [{"type": "text", "text": "done"}]})

    def asked(self, kind: Kind = Kind.MODEL) -> list[Invocation]:
        return [seen for seen in self.seen if seen.target.kind is kind]


@pytest.fixture
async def heart(tmp_path: Path) -> AsyncGenerator[Heart]:
    async with open_heart(tmp_path, ENTRY) as heart:
        yield heart


@pytest.fixture
def owner(heart: Heart) -> Judged:
    owner = Judged()
    heart.core.owners["llm"] = owner
    return owner


async def ask(heart: Heart, prompt: str = "hello") -> Result:
    wish = Invocation(target=ASK, arguments={"prompt": prompt})
    return await heart.core.invoker.invoke(await heart.caller("blue"), wish)


async def test_the_model_is_asked_through_the_core(heart: Heart, owner: Judged) -> None:
    """Under the plugin's own name: the caller may not even see that model."""
    await ask(heart, "hello there")
    request, answer = owner.asked()
    assert request.arguments is not None
    messages = request.arguments["messages"]
    assert isinstance(messages, list)
    system, user = messages
    assert isinstance(system, dict)
    assert isinstance(user, dict)
    assert '"hate"' in str(system["content"])
    assert json.loads(str(user["content"])) == ["hello there"]
    assert request.permit is not None
    assert request.permit.hooks.request == ()
    assert request.depth == 1
    assert "done" in str(answer.arguments)
    assert JUDGING.get() == ()


async def test_what_it_asks_has_rows_of_its_own(heart: Heart, owner: Judged) -> None:
    """Attributed to the plugin, tied to the call by its request id."""
    await ask(heart)
    await heart.core.ledger.flush()

    async with heart.core.store.database.reading() as connection:
        query = text("SELECT kind, token_id, request_id FROM usage")
        rows = [tuple(row) for row in await connection.execute(query)]

    models = [row for row in rows if row[0] == "model"]
    (tool,) = [row for row in rows if row[0] == "tool"]
    assert {row[1] for row in models} == {"plugin:safe"}
    assert len(models) == 2
    assert all(str(row[2]).startswith(f"{tool[2]}.") for row in models)


async def test_above_the_threshold_is_refused(heart: Heart, owner: Judged) -> None:
    """By the worst category, before the owner hears of the call."""
    owner.verdict = lambda _: scores(spam=0.7, hate=0.6)

    with pytest.raises(PluginDenied) as caught:
        await ask(heart)

    assert caught.value.code == "plugin.moderation.spam"
    assert owner.asked(Kind.TOOL) == []
    owner.verdict = lambda _: scores(spam=0.59)
    assert isinstance(await ask(heart), Complete)


async def never(count: int) -> AsyncIterator[StreamEvent]:
    for _ in range(count):
        yield StreamEvent(payload={})


BAD: list[Result] = [
    chat("no JSON"),
    chat("[]"),
    chat("[" * 100_000),
    chat('{"hate": 0.1}'),
    chat('{"hate": 0.1, "spam": 2}'),
    chat('{"hate": 0.1, "spam": NaN}'),
    chat('{"hate": 0.1, "spam": true}'),
    chat('{"hate": 0.1, "spam": "0"}'),
    chat(None),
    Complete(payload={}),
    Complete(payload={"choices": []}),
    Streaming(never(0)),
]


@pytest.mark.parametrize("said", BAD, ids=range(len(BAD)))
async def test_without_a_verdict_nothing_passes(heart: Heart, owner: Judged, said: Result) -> None:
    """A score for every category, or no content."""
    owner.verdict = lambda _: said

    with pytest.raises(Internal) as caught:
        await ask(heart)

    assert caught.value.code in ("plugin.failed", "contract_violation")
    assert owner.asked(Kind.TOOL) == []


async def test_a_model_that_fails_denies(heart: Heart, owner: Judged) -> None:
    """An error of the provider is the plugin's failure, not the caller's."""

    def limited(_: Invocation) -> Result:
        raise RateLimited("Too fast.")

    owner.verdict = limited

    with pytest.raises(Internal) as caught:
        await ask(heart)

    assert caught.value.code == "plugin.failed"


async def test_a_fence_around_the_verdict_is_taken_off(heart: Heart, owner: Judged) -> None:
    """Models put one there unasked."""
    owner.verdict = lambda _: chat('```json\n{"hate": 0, "spam": 0}\n```')
    assert isinstance(await ask(heart), Complete)


async def test_a_streamed_answer_gets_the_verdict_of_the_whole_one(
    heart: Heart, owner: Judged
) -> None:
    """Each text of an answer is judged by itself, in both forms."""
    owner.verdict = lambda asked: scores(hate=float("bad" in str(asked.arguments)))
    caller = await heart.caller("red")
    services = heart.core.services_for("llm")
    permit = await services.catalog.admit(
        caller, Target(kind=Kind.MODEL, name="up~open"), Action.EXECUTE
    )
    guard = await services.plugin.open_guard(caller, permit.id)
    assert await guard.push(Lane(), "go") == ""
    assert await guard.close(Lane()) == "go"
    await guard.push(Lane(choice=1), "b")
    await guard.push(Lane(choice=1), "ad")

    with pytest.raises(PluginDenied):
        await guard.close(Lane(choice=1))

    with pytest.raises(PluginDenied):
        await services.plugin.execute_hook(
            caller, permit.id, HookPhase.POST_INVOKE, [text_segment("go"), text_segment("bad")]
        )

    assert [len(json.loads(user_of(asked))) for asked in owner.asked()] == [1] * 4


def user_of(asked: Invocation) -> str:
    match asked.arguments:
        case {"messages": [_, {"content": str(content)}]}:
            return content
        case _:
            raise AssertionError


async def test_it_does_not_judge_its_own_calls_and_others_end(tmp_path: Path) -> None:
    """Two of them judge each other's models once, then there is nobody left."""
    extra = (
        "\nplugins:\n  entries:\n"
        "    - {name: one, plugin: moderation, config: {model: up~red}}\n"
        "    - {name: two, plugin: moderation, config: {model: up~blue}}\n"
        "    - {name: mask, plugin: pii}\n"
    )
    categories = ("hate", "harassment", "self_harm", "sexual", "violence", "illicit")
    zeros = dict.fromkeys(categories, 0.0)

    async with open_heart(tmp_path, extra) as heart:
        owner = heart.core.owners["llm"] = Judged()
        owner.verdict = lambda _: chat(json.dumps(zeros))
        await ask(heart, "a@example.org")
        plans = {
            (seen.target.name, seen.depth, seen.permit.hooks.request)
            for seen in owner.asked()
            if seen.permit
        }
        assert plans == {
            ("up~red", 1, ("two", "mask")),
            ("up~red", 2, ("mask",)),
            ("up~blue", 1, ("one", "mask")),
            ("up~blue", 2, ("mask",)),
        }
        assert "a@example.org" not in str([seen.arguments for seen in owner.asked()])


async def test_a_chain_of_plugins_has_an_end(heart: Heart, owner: Judged) -> None:
    """Four deep, like every call."""
    token = JUDGING.set(("a", "b", "c", "d"))

    try:
        with pytest.raises(Internal):
            await ask(heart)
    finally:
        JUDGING.reset(token)

    assert owner.asked() == []


async def test_content_that_is_too_long_is_refused_unasked(heart: Heart, owner: Judged) -> None:
    """Half of it would be no verdict on all of it; blank texts are not worth asking about."""
    with pytest.raises(Internal):
        await ask(heart, "x" * 100_001)

    assert owner.asked() == []
    owner.answer = lambda _: Complete(payload={"content": [{"type": "text", "text": " "}]})
    await ask(heart, " ")
    assert owner.asked() == []


async def test_without_a_host_nothing_passes() -> None:
    """A plugin that was never bound has nobody to ask."""
    config: Mapping[str, Json] = {"model": "m", "categories": ["a"], "max_characters": 5}

    with pytest.raises(NoVerdict):
        await Moderation(dict(config)).inspect(call(), [text_segment("a")])
