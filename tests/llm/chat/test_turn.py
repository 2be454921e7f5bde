"""A chat that uses tools: the loop, its bounds, and what the model reads of failures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from spindle_spi.errors import Conflict, UpstreamError
from spindle_spi.invocation import Complete, InputRequired, Result
from spindle_spi.plugin import HookPhase
from spindle_spi.records import Kind
from tests.llm.chat.harness import World, chats
from tests.llm.chat.records import context_of, gateway, model, provider, server, text_result, tool
from tests.llm.support.records import Word

if TYPE_CHECKING:
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import Json, JsonObject
    from tests.support.upstream_process import Upstream

pytestmark = pytest.mark.anyio

ADA = context_of("ada@x")
DESK: JsonObject = {"slug": "desk"}


def _records(upstream: Upstream, *names: str) -> list[CatalogRecord]:
    tools = [gateway(), *map(tool, names)]
    models = ("tools", "parallel-tools", "endless-tools", "unknown-tool", "bad-arguments")
    return [provider(upstream.url), server("desk", *names), *map(model, models), *tools]


async def _echo(arguments: JsonObject) -> Result:
    return text_result(json.dumps(arguments, sort_keys=True))


async def _connected(world: World, name: str) -> None:
    shown = [entry.name for entry in world.host.records if entry.kind is Kind.TOOL]
    world.tools.functions |= dict.fromkeys(shown, _echo)
    await world.connect("ada@x", f"sim~{name}", DESK)


@pytest.mark.requirement("000-llmchat-chat")
async def test_a_tool_is_called_as_the_caller_and_its_result_told(upstream: Upstream) -> None:
    """Walk 4: the model asks, the core invokes under the server's scope, the model answers."""
    async with chats(_records(upstream, "demo-add"), [ADA]) as world:
        await _connected(world, "tools")
        response = await world.say("ada@x", '{"a": 1}')
        events = world.events()
        (invocation,) = world.host.journal.invoked

    answer = response.json()
    assert answer["response"] == 'The tools said: {"a": 1}'
    assert (answer["tool_used"], answer["tools"], answer["tool_invocations"]) == (
        True,
        ["demo-add"],
        1,
    )
    assert (invocation.target.name, invocation.depth) == ("demo-add", 1)
    assert invocation.deadline is not None
    assert events == ["connected", "user", "assistant", "tool_call", "tool_result", "assistant"]


async def test_each_answer_of_the_model_is_a_call_of_its_own(upstream: Upstream) -> None:
    """Two rounds and the tool between them: three permits, all settled."""
    async with chats(_records(upstream, "demo-add"), [ADA]) as world:
        await _connected(world, "tools")
        await world.say("ada@x", "{}")
        settled = world.settled()

    assert settled == [("sim~tools", "ok"), ("demo-add", "ok"), ("sim~tools", "ok")]
    assert world.host.open_permits == ()


async def test_tools_run_side_by_side(upstream: Upstream) -> None:
    """Each of two tools ends only when the other has begun."""
    async with chats(_records(upstream, "demo-a", "demo-b"), [ADA]) as world:
        await _connected(world, "parallel-tools")
        begun = {"demo-a": anyio.Event(), "demo-b": anyio.Event()}

        async def run(mine: str, other: str) -> Result:
            begun[mine].set()
            await begun[other].wait()
            return text_result(mine)

        world.tools.functions["demo-a"] = lambda _: run("demo-a", "demo-b")
        world.tools.functions["demo-b"] = lambda _: run("demo-b", "demo-a")

        with anyio.fail_after(10):
            response = await world.say("ada@x", "{}")

    assert response.json()["response"] == "The tools said: demo-a | demo-b"


async def test_no_more_tools_run_at_once_than_allowed(upstream: Upstream) -> None:
    """With one at a time, the second begins after the first has ended."""
    running: list[int] = [0]

    async def alone(arguments: JsonObject) -> Result:
        running[0] += 1
        assert running[0] == 1

        await checkpoint()
        running[0] -= 1
        return text_result("done")

    records = _records(upstream, "demo-a", "demo-b", "demo-c")

    async with chats(records, [ADA], {"parallel_tools": 1}) as world:
        await _connected(world, "parallel-tools")
        world.tools.functions = dict.fromkeys(world.tools.functions, alone)
        response = await world.say("ada@x", "{}")

    assert response.json()["tool_invocations"] == 3


async def test_names_upstreams_would_refuse_are_mapped_both_ways(upstream: Upstream) -> None:
    """The model says a name that fits; the core is asked for the record's own."""
    async with chats(_records(upstream, "demo-größe messen"), [ADA]) as world:
        await _connected(world, "tools")
        response = await world.say("ada@x", "{}")
        (invocation,) = world.host.journal.invoked

    assert invocation.target.name == "demo-größe messen"
    assert response.json()["response"] == "The tools said: {}"


async def test_a_prefix_free_server_calls_the_record_behind_the_short_name(
    upstream: Upstream,
) -> None:
    """The model sees the upstream's names."""
    records = [entry for entry in _records(upstream, "demo-add") if entry.name != "Server desk"]
    records.append(server("desk", "demo-add", prefix_free=True))

    async with chats(records, [ADA]) as world:
        await _connected(world, "tools")
        response = await world.say("ada@x", "{}")
        (invocation,) = world.host.journal.invoked

    assert response.json()["tools"] == ["add"]
    assert invocation.target.name == "demo-add"


async def test_a_failing_tool_is_something_the_model_reads(upstream: Upstream) -> None:
    """The turn goes on with the failure's safe message."""

    async def fail(arguments: JsonObject) -> Result:
        raise UpstreamError("The upstream is away.")

    async with chats(_records(upstream, "demo-a"), [ADA]) as world:
        await _connected(world, "tools")
        world.tools.functions["demo-a"] = fail
        response = await world.say("ada@x", "{}")

    assert response.json()["response"] == ("The tools said: The tool failed: The upstream is away.")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("unknown-tool", "There is no tool 'never_offered'."),
        ("bad-arguments", "The tool failed: the arguments are not JSON."),
    ],
)
async def test_calls_that_make_no_sense_are_answered_not_made(
    upstream: Upstream, name: str, told: str
) -> None:
    """A tool that was not offered and arguments that are no JSON never reach the core."""
    async with chats(_records(upstream, "demo-a"), [ADA]) as world:
        await _connected(world, name)
        response = await world.say("ada@x", "hi")

    assert response.json()["response"] == f"The tools said: {told}"
    assert world.host.journal.invoked == []


def _results() -> list[tuple[Result, str]]:
    image: JsonObject = {"type": "image", "data": "…"}
    embedded: JsonObject = {"type": "resource", "resource": {"uri": "a:b", "text": "inside"}}
    content: list[Json] = [{"type": "text", "text": "a"}, image, embedded, 7]
    structured: JsonObject = {"content": [], "structuredContent": {"n": 1}}
    long: list[Json] = [{"type": "text", "text": "x" * 200_001}]
    shown = "a\n[image content, which this chat does not show]\ninside\n"
    return [
        (Complete(payload={"content": content}), shown),
        (Complete(payload=structured), '{"n": 1}'),
        (Complete(payload={}), ""),
        (Complete(payload={"content": long}), "x" * 200_000 + "\n[cut: 200001 characters in all]"),
        (InputRequired(requests={}), "The tool asks for input a chat cannot give."),
    ]


@pytest.mark.parametrize(("result", "told"), _results())
async def test_what_a_tool_gives_is_told_as_text(
    upstream: Upstream, result: Result, told: str
) -> None:
    """Texts are joined, other content is named, structure is JSON, too much is cut."""

    async def give(arguments: JsonObject) -> Result:
        return result

    async with chats(_records(upstream, "demo-a"), [ADA]) as world:
        await _connected(world, "tools")
        world.tools.functions["demo-a"] = give
        response = await world.say("ada@x", "{}")

    assert response.json()["response"] == f"The tools said: {told}"


async def test_a_model_that_never_stops_calling_is_stopped(upstream: Upstream) -> None:
    """After the last round the model is asked for an answer; if it calls again the turn fails."""
    records = _records(upstream, "demo-a")

    async with chats(records, [ADA], {"max_tool_rounds": 2}) as world:
        await _connected(world, "endless-tools")
        await upstream.reset()
        response = await world.say("ada@x", "{}")
        seen = await upstream.log()
        events = world.events()

    assert response.status_code == 502
    assert response.json()["error"]["code"] == "llm.chat.too_many_tool_calls"
    assert len(world.host.journal.invoked) == 2
    assert [_choice(entry) for entry in seen] == [None, None, "none"]
    assert events[-1] == "failed"


def _choice(entry: JsonObject) -> Json:
    body = entry["body"]
    return body.get("tool_choice") if isinstance(body, dict) else None


async def test_a_turn_that_takes_too_long_is_ended(upstream: Upstream) -> None:
    """504 by the operator's setting; the call is settled and the next turn is answered."""
    records = [provider(upstream.url), model("hang"), model("echo")]

    async with chats(records, [ADA], {"turn_timeout": 0.2}) as world:
        await world.connect("ada@x", "sim~hang")

        with anyio.fail_after(10):
            response = await world.say("ada@x", "hi")

        settled = [status for _, status in world.settled()]
        events = world.events()

    assert response.status_code == 504
    assert settled in (["cancelled"], ["error"])
    assert events == ["connected", "user", "failed"]


async def test_a_tool_that_hangs_is_ended_with_its_turn(upstream: Upstream) -> None:
    """The call is cancelled, and the log says that it was begun."""

    async def hang(arguments: JsonObject) -> Result:
        await anyio.sleep_forever()
        raise NotImplementedError

    async with chats(_records(upstream, "demo-a"), [ADA], {"turn_timeout": 0.3}) as world:
        await _connected(world, "tools")
        world.tools.functions["demo-a"] = hang

        with anyio.fail_after(10):
            response = await world.say("ada@x", "{}")

        events = world.events()

    assert response.status_code == 504
    assert events == ["connected", "user", "assistant", "tool_call", "failed"]


async def test_a_session_that_ends_in_the_middle_ends_its_turn(upstream: Upstream) -> None:
    """A tool's result finds no session to stand in; the failure is told and nothing hangs."""
    async with chats(_records(upstream, "demo-a"), [ADA]) as world:
        await _connected(world, "tools")

        async def disconnect(arguments: JsonObject) -> Result:
            body: JsonObject = {"user_id": "ada@x"}
            await world.ask("ada@x", "POST", "/llmchat/disconnect", body)
            return text_result("done")

        world.tools.functions["demo-a"] = disconnect

        with anyio.fail_after(10):
            response = await world.say("ada@x", "{}")

    assert response.status_code == 503
    assert response.json()["error"]["code"] == "llm.chat.session_unusable"


async def test_an_upstreams_failure_is_the_turns(upstream: Upstream) -> None:
    """The error is in our shape and words; the turn leaves nothing in the history."""
    records = [provider(upstream.url), model("error-500"), model("error-429"), model("echo")]

    async with chats(records, [ADA]) as world:
        await world.connect("ada@x", "sim~error-500")
        broken = await world.say("ada@x", "hi")
        await world.connect("ada@x", "sim~error-429")
        limited = await world.say("ada@x", "hi")

    assert (broken.status_code, limited.status_code) == (502, 429)
    assert "sk-upstream" not in broken.text + limited.text
    assert limited.headers["retry-after-ms"] == "1500"


async def test_hooks_run_on_every_request_and_answer_of_the_model(upstream: Upstream) -> None:
    """What plugins replace is what the model reads, and what the caller reads."""
    async with chats([provider(upstream.url), model("echo")], [ADA]) as world:
        world.host.plugins.append(Word("secret", "***"))
        await world.connect("ada@x", "sim~echo")
        await upstream.reset()
        response = await world.say("ada@x", "my secret")
        (seen,) = await upstream.log()

    assert "secret" not in str(seen["text"])
    assert response.json()["response"] == "my ***"
    assert [run.phase for run in world.host.journal.hooks] == [
        HookPhase.PRE_INVOKE,
        HookPhase.POST_INVOKE,
    ]


async def test_another_writer_in_the_log_ends_the_turn(upstream: Upstream) -> None:
    """Two replicas that take the same turn do not mix their events."""
    async with chats(_records(upstream, "demo-a"), [ADA]) as world:
        await _connected(world, "tools")
        (session,) = world.host.sessions.held.values()

        async def interfere(arguments: JsonObject) -> Result:
            await world.host.sessions.append_event(ADA, session.id, "user", {"content": "!"})
            return text_result("done")

        world.tools.functions["demo-a"] = interfere
        response = await world.say("ada@x", "{}")

    assert response.status_code == Conflict.default_status
