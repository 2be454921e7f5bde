"""Equal inputs are asked for once: what is kept, for whom, and when nobody keeps anything."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle_conformance.upstreams.embeddings import vector
from spindle_conformance.upstreams.server import Ending, Play
from spindle_spi.admission import Status, TokenUsage
from spindle_spi.plugin import HookPhase
from tests.llm.embeddings.upstream import PATH, body, embedder, embeds, vectors_in
from tests.llm.support.gateway import Client, Gateway, gateway, until
from tests.llm.support.records import CONTEXT, REQUEST, Word

if TYPE_CHECKING:
    from spindle_conformance.upstreams.server import Seen
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import JsonObject


def caller(*teams: str, user: str | None = "ada@x", token: str = "t1") -> AuthenticatedContext:
    """Return a caller of some teams."""
    subject = replace(CONTEXT.subject, token_teams=teams, user_email=user, token_id=token)
    return replace(CONTEXT, subject=subject)


async def ask_as(spindle: Gateway, client: Client) -> None:
    """Carry out one client's exchange."""
    await spindle.ask(path=PATH, client=client)


def asked(spindle: Gateway) -> list[object]:
    """Return the inputs of every request the upstream got."""
    said = [seen.json for seen in spindle.upstream.seen]
    return [entry["input"] for entry in said if isinstance(entry, dict)]


@pytest.mark.requirement("003-embed-idempotency")
@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_an_equal_call_is_answered_from_what_was_kept(encoding: str) -> None:
    """The same answer, byte for byte, and no second request; it is admitted and settled all the
    same, with nothing used."""
    async with gateway(embeds, embedder()) as spindle:
        said = body("one", "two", encoding_format=encoding)
        first = await spindle.ask(said, path=PATH)
        second = await spindle.ask({**said, "user": "somebody"}, path=PATH)

        assert first.content == second.content
        assert len(spindle.upstream.seen) == 1
        one, two = spindle.outcomes
        assert (two.status, two.usage, two.attempts) == (Status.OK, TokenUsage(), ())
        assert (one.cache_hit, two.cache_hit) == (False, True)
        assert one.idempotency_key == two.idempotency_key
        assert one.embedded is not None
        assert two.embedded == replace(one.embedded, cached_count=2)


@pytest.mark.requirement("003-embed-idempotency")
async def test_only_what_is_missing_is_asked_for() -> None:
    """Inputs that were kept, and inputs that stand twice, are not asked again."""
    async with gateway(embeds, embedder()) as spindle:
        await spindle.ask(body("one", "two"), path=PATH)
        client = await spindle.ask(body("two", "three", "three", "one"), path=PATH)

        assert vectors_in(client) == [vector(text) for text in ("two", "three", "three", "one")]
        assert client.json["usage"] == {"prompt_tokens": 16, "total_tokens": 16}
        assert asked(spindle) == [["one", "two"], ["three"]]
        outcome = spindle.outcomes[-1]
        assert outcome.usage == TokenUsage(input_tokens=5)
        assert outcome.embedded is not None
        assert (outcome.cache_hit, outcome.embedded.cached_count) == (False, 3)


@pytest.mark.parametrize(
    "other",
    [
        body("one", dimensions=4),
        body("one", model="up~other"),
        body("one", input_type="query"),
        {"model": "up~embed", "input": [1, 2]},
    ],
)
async def test_another_parameter_model_or_input_is_another_call(other: JsonObject) -> None:
    """Whatever may change a vector changes the key."""
    async with gateway(embeds, embedder(), embedder("other")) as spindle:
        await spindle.ask(body("one"), path=PATH)
        await spindle.ask(other, path=PATH)
        assert len(spindle.upstream.seen) == 2


@pytest.mark.parametrize(
    ("other", "shared", "calls"),
    [
        (caller("red", user="bob@x", token="t2"), False, 1),
        (caller("blue"), False, 2),
        (caller("blue"), True, 1),
        (caller("red", "blue"), False, 2),
        (caller(), False, 2),
    ],
)
async def test_what_is_kept_is_a_teams_own(
    other: AuthenticatedContext, shared: bool, calls: int
) -> None:
    """Colleagues share it; other teams do not, unless the operator says so."""
    section: JsonObject = {"embeddings_cache": {"shared": shared}}

    async with gateway(embeds, embedder(), section=section) as spindle:
        await spindle.ask(body("one"), path=PATH, context=caller("red"))
        await spindle.ask(body("one"), path=PATH, context=other)
        assert len(spindle.upstream.seen) == calls


@pytest.mark.parametrize(
    ("one", "two", "calls"),
    [
        (caller(user="ada@x", token="t1"), caller(user="ada@x", token="t2"), 1),
        (caller(user="ada@x"), caller(user="bob@x"), 2),
        (caller(user=None, token="t1"), caller(user=None, token="t2"), 2),
    ],
)
async def test_without_a_team_it_is_the_callers_own(
    one: AuthenticatedContext, two: AuthenticatedContext, calls: int
) -> None:
    """A person's tokens share it; tokens of nobody do not."""
    async with gateway(embeds, embedder()) as spindle:
        await spindle.ask(body("one"), path=PATH, context=one)
        await spindle.ask(body("one"), path=PATH, context=two)
        assert len(spindle.upstream.seen) == calls


async def test_without_room_nothing_is_kept() -> None:
    """`max_bytes: 0` asks for every input every time, equal ones in a request too."""
    section: JsonObject = {"embeddings_cache": {"max_bytes": 0}}

    async with gateway(embeds, embedder(), section=section) as spindle:
        for _ in range(2):
            await spindle.ask(body("one", "one"), path=PATH)

        assert asked(spindle) == [["one", "one"]] * 2


async def test_what_is_kept_is_found_by_what_plugins_leave() -> None:
    """Plugins judge a call that is answered from what was kept, in both phases."""
    async with gateway(embeds, embedder()) as spindle:
        await spindle.ask(body("a ******"), path=PATH)
        spindle.host.plugins.append(Word("secret", "******"))
        client = await spindle.ask(body("a secret"), path=PATH)

        assert vectors_in(client) == [vector("a ******")]
        assert len(spindle.upstream.seen) == 1
        phases = [run.phase for run in spindle.host.journal.hooks]
        assert phases == [HookPhase.PRE_INVOKE, HookPhase.POST_INVOKE]

        spindle.host.plugins[:] = [Word("******", None, REQUEST)]
        assert (await spindle.ask(body("a ******"), path=PATH)).status == 403


async def test_a_kept_vector_tells_nothing_of_a_model_one_may_not_see() -> None:
    """It is looked for only under a permit."""
    async with gateway(embeds, embedder()) as spindle:
        await spindle.ask(body("one"), path=PATH)
        [record] = [entry for entry in spindle.host.records if entry.name == "up~embed"]
        hidden = replace(record, visibility=type(record.visibility).PRIVATE, owner="eve@x")
        spindle.host.records.add(hidden)
        client = await spindle.ask(body("one"), path=PATH)
        assert client.status == 404


async def test_equal_calls_at_the_same_time_ask_once() -> None:
    """Whoever comes while the first is waiting waits with it."""

    def slow(seen: Seen) -> Play:
        return replace(embeds(seen), delay=0.2)

    clients = [Client(b'{"model": "up~embed", "input": ["one", "two"]}') for _ in range(5)]

    async with gateway(slow, embedder()) as spindle:
        async with anyio.create_task_group() as group:
            for client in clients:
                group.start_soon(ask_as, spindle, client)

        assert {client.content for client in clients} == {clients[0].content}
        assert clients[0].status == 200
        assert len(spindle.upstream.seen) == 1
        assert sorted(outcome.cache_hit for outcome in spindle.outcomes) == [False] + [True] * 4


async def test_a_leader_that_leaves_does_not_fail_those_who_follow() -> None:
    """One of them asks in its place."""
    requests: list[Seen] = []

    def first_hangs(seen: Seen) -> Play:
        requests.append(seen)
        return Play(silent=True, ending=Ending.HANG) if len(requests) == 1 else embeds(seen)

    said = b'{"model": "up~embed", "input": "one"}'
    leader, *followers = (Client(said) for _ in range(4))

    async with gateway(first_hangs, embedder()) as spindle:
        async with anyio.create_task_group() as group:
            group.start_soon(ask_as, spindle, leader)
            await until(lambda: bool(requests))

            for client in followers:
                group.start_soon(ask_as, spindle, client)

            await until(lambda: len(spindle.host.open_permits) == 4)
            leader.leaves.set()

        assert [vectors_in(client) for client in followers] == [[vector("one")]] * 3
        assert len(requests) == 2
        states = sorted(outcome.status.value for outcome in spindle.outcomes)
        assert states == ["cancelled", "ok", "ok", "ok"]


async def test_a_failure_is_the_callers_own() -> None:
    """Who waited for a call that failed asks for itself; nothing of a failure is kept."""
    requests: list[Seen] = []

    def first_fails(seen: Seen) -> Play:
        requests.append(seen)

        if len(requests) == 1:
            return Play(status=400, body=b'{"error": {"message": "no"}}', delay=0.2)

        return embeds(seen)

    one, two = (Client(b'{"model": "up~embed", "input": "one"}') for _ in range(2))

    async with gateway(first_fails, embedder()) as spindle:
        async with anyio.create_task_group() as group:
            group.start_soon(ask_as, spindle, one)
            await until(lambda: bool(requests))
            group.start_soon(ask_as, spindle, two)

        assert (one.status, two.status) == (400, 200)
        assert len(requests) == 2


async def test_a_redis_that_is_away_is_no_failure() -> None:
    """Every call is asked of the upstream."""
    section: JsonObject = {"embeddings_cache": {"url": "redis://127.0.0.1:9/0"}}

    async with gateway(embeds, embedder(), section=section) as spindle:
        for _ in range(2):
            assert vectors_in(await spindle.ask(body("one"), path=PATH)) == [vector("one")]

        assert len(spindle.upstream.seen) == 2
