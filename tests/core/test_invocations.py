"""Calls across protocols: hooks, the owner between them, settled whatever happens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle_spi.errors import (
    ContractViolation,
    FailedPrecondition,
    Internal,
    NotFound,
    Unavailable,
    Unsupported,
    UpstreamTimeout,
)
from spindle_spi.invocation import (
    Complete,
    InputRequired,
    Invocation,
    Result,
    StreamEvent,
    Streaming,
)
from spindle_spi.records import Kind, Target
from tests.core.heart import Heart, Owner, open_heart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

ASK = Target(kind=Kind.TOOL, name="ask")
OPEN = Target(kind=Kind.MODEL, name="up~open")
PII = "\nplugins:\n  entries: [{name: pii, plugin: pii, config: {action: mask}}]\n"


@pytest.fixture
async def heart(tmp_path: Path) -> AsyncGenerator[Heart]:
    async with open_heart(tmp_path, PII) as heart:
        yield heart


@pytest.fixture
def owner(heart: Heart) -> Owner:
    owner = Owner()
    heart.core.owners["llm"] = owner
    return owner


def settled(heart: Heart, status: str, kind: str = "tool") -> bool:
    line = f'spindle_calls_total{{kind="{kind}",status="{status}"}} 1'
    return line.encode() in heart.core.metrics.render()


async def test_arguments_and_result_are_judged(heart: Heart, owner: Owner) -> None:
    """The owner sees masked arguments and carries the permit; its answer is masked too."""
    owner.answer = lambda invocation: Complete(
        payload={"content": [{"type": "text", "text": "reply to z@example.org"}]}
    )
    result = await heart.core.invoker.invoke(
        await heart.caller("red"), Invocation(target=ASK, arguments={"prompt": "a@example.org"})
    )
    (seen,) = owner.seen
    assert seen.arguments == {"prompt": "[EMAIL]"}
    assert seen.permit is not None
    assert seen.permit.record.name == "ask"
    assert isinstance(result, Complete)
    assert result.payload == {"content": [{"type": "text", "text": "reply to [EMAIL]"}]}
    assert settled(heart, "ok")


async def test_a_hidden_record_is_not_found(heart: Heart, owner: Owner) -> None:
    """And the owner never hears of it."""
    with pytest.raises(NotFound):
        await heart.core.invoker.invoke(
            await heart.caller("red"),
            Invocation(target=Target(kind=Kind.MODEL, name="up~blue")),
        )

    assert owner.seen == []


async def test_nesting_has_an_end(heart: Heart, owner: Owner) -> None:
    """Deeper than four is refused before anything is admitted."""
    with pytest.raises(FailedPrecondition):
        await heart.core.invoker.invoke(await heart.caller("red"), Invocation(target=ASK, depth=5))

    assert owner.seen == []


async def test_an_owner_that_is_gone_is_unavailable(heart: Heart) -> None:
    """The permit is settled as an error."""
    with pytest.raises(Unavailable):
        await heart.core.invoker.invoke(await heart.caller("red"), Invocation(target=ASK))

    assert settled(heart, "error")


async def test_the_deadline_ends_the_call(heart: Heart) -> None:
    """An owner that does not answer in time is an upstream timeout."""

    class Sleeper(Owner):
        async def invoke(self, context, invocation, progress=None) -> Result:  # type: ignore[no-untyped-def]
            await anyio.sleep_forever()
            raise AssertionError

    heart.core.owners["llm"] = Sleeper()

    with pytest.raises(UpstreamTimeout):
        await heart.core.invoker.invoke(
            await heart.caller("red"),
            Invocation(target=ASK, deadline=time.monotonic() + 0.05),
        )

    assert settled(heart, "error")


async def test_cancelling_settles_as_cancelled(heart: Heart) -> None:
    """Who gives up leaves no open permit behind."""
    started = anyio.Event()

    class Sleeper(Owner):
        async def invoke(self, context, invocation, progress=None) -> Result:  # type: ignore[no-untyped-def]
            started.set()
            await anyio.sleep_forever()
            raise AssertionError

    heart.core.owners["llm"] = Sleeper()
    caller = await heart.caller("red")

    async with anyio.create_task_group() as group:
        group.start_soon(heart.core.invoker.invoke, caller, Invocation(target=ASK))
        await started.wait()
        group.cancel_scope.cancel()

    assert settled(heart, "cancelled")
    assert heart.core.admission.has_open() == 0


async def test_a_judged_stream_is_asked_for_whole(heart: Heart, owner: Owner) -> None:
    """With answer hooks the owner is asked unary, so that nothing leaves unjudged."""
    owner.answer = lambda invocation: Complete(payload={"choices": []})
    await heart.core.invoker.invoke(
        await heart.caller("red"), Invocation(target=OPEN, arguments={}, stream=True)
    )
    assert owner.seen[0].stream is False


async def test_a_stream_is_settled_at_its_end(tmp_path: Path) -> None:
    """Usage found in it is recorded; leaving early is partial."""

    async def events() -> AsyncIterator[StreamEvent]:
        yield StreamEvent(payload={"choices": []})
        yield StreamEvent(payload={"usage": {"prompt_tokens": 3, "completion_tokens": 4}})

    async with open_heart(tmp_path) as heart:
        owner = Owner(answer=lambda invocation: Streaming(events()))
        heart.core.owners["llm"] = owner
        caller = await heart.caller("red")

        for stop_early in (False, True):
            result = await heart.core.invoker.invoke(caller, Invocation(target=OPEN, stream=True))
            assert isinstance(result, Streaming)
            assert heart.core.admission.has_open() == 1

            async for _ in result.events:
                if stop_early:
                    break

            await result.events.aclose()  # type: ignore[attr-defined]
            assert heart.core.admission.has_open() == 0

        assert settled(heart, "ok", "model")
        assert settled(heart, "partial", "model")
        assert b'spindle_input_tokens_total{kind="model"} 3' in heart.core.metrics.render()


async def test_a_stream_nobody_starts_is_settled_when_closed(tmp_path: Path) -> None:
    """And the owner's end of it is closed."""

    async def events() -> AsyncIterator[StreamEvent]:
        yield StreamEvent(payload={})

    async with open_heart(tmp_path) as heart:
        heart.core.owners["llm"] = Owner(answer=lambda invocation: Streaming(events()))
        result = await heart.core.invoker.invoke(
            await heart.caller("red"), Invocation(target=OPEN, stream=True)
        )
        assert isinstance(result, Streaming)
        await result.close()
        assert heart.core.admission.has_open() == 0
        assert settled(heart, "cancelled", "model")


class Closed:
    """A stream that notes whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def __aiter__(self) -> Closed:
        return self

    async def __anext__(self) -> StreamEvent:
        raise AssertionError("nobody may read this")

    async def aclose(self) -> None:
        self.is_closed = True


async def test_an_owner_that_streams_unasked_is_refused(heart: Heart, owner: Owner) -> None:
    """With answer hooks nothing of it may leave; it is closed unread."""
    stream = Closed()
    owner.answer = lambda invocation: Streaming(stream)

    with pytest.raises(ContractViolation):
        await heart.core.invoker.invoke(
            await heart.caller("red"), Invocation(target=OPEN, arguments={}, stream=True)
        )

    assert stream.is_closed
    assert settled(heart, "error", "model")


async def test_a_question_nobody_can_judge_is_refused(heart: Heart, owner: Owner) -> None:
    """Input asked for is content too; without plugins it passes."""
    owner.answer = lambda invocation: InputRequired(requests={"a": "b@example.org"})
    caller = await heart.caller("red")

    with pytest.raises(Unsupported):
        await heart.core.invoker.invoke(caller, Invocation(target=ASK, arguments={}))

    assert settled(heart, "error")


async def test_a_defect_of_an_owner_is_an_internal_error(heart: Heart, owner: Owner) -> None:
    """Whatever it raises, the caller sees one kind of error and no text of it."""

    def fail(invocation: Invocation) -> Result:
        raise KeyError("secret detail")

    owner.answer = fail

    with pytest.raises(Internal) as caught:
        await heart.core.invoker.invoke(await heart.caller("red"), Invocation(target=ASK))

    assert "secret" not in caught.value.message
    assert settled(heart, "error")


async def test_a_base_exception_settles_and_goes_on(heart: Heart, owner: Owner) -> None:
    """It is nobody's to swallow."""

    class Stop(BaseException):
        pass

    def stop(invocation: Invocation) -> Result:
        raise Stop

    owner.answer = stop

    with pytest.raises(Stop):
        await heart.core.invoker.invoke(await heart.caller("red"), Invocation(target=ASK))

    assert heart.core.admission.has_open() == 0


@pytest.mark.parametrize("fails", [True, False])
async def test_a_call_that_outlives_its_lease_ends_as_it_ended(tmp_path: Path, fails: bool) -> None:
    """Its failure or its answer reaches the caller; it is recorded as lost, once."""
    async with open_heart(tmp_path) as heart:
        caller = await heart.caller("red")

        class Slow(Owner):
            async def invoke(self, context, invocation, progress=None) -> Result:  # type: ignore[no-untyped-def]
                await heart.core.leases.end(caller.trace.request_id)

                if fails:
                    raise Unavailable("gone")

                return Complete(payload={"content": []})

        heart.core.owners["llm"] = Slow()
        call = heart.core.invoker.invoke

        if fails:
            with pytest.raises(Unavailable):
                await call(caller, Invocation(target=ASK))
        else:
            assert isinstance(await call(caller, Invocation(target=ASK)), Complete)

        assert settled(heart, "lost")
        await heart.core.ledger.flush()
        assert await heart.core.store.usage.count() == 1


@pytest.mark.parametrize("fails", [True, False])
async def test_usage_that_cannot_be_written_hides_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """With a window of 0: an answer is refused, a failure stays the failure it was."""
    async with open_heart(tmp_path, "\nusage: {flush_seconds: 0}\n") as heart:

        async def add_many(rows: object) -> None:
            raise OSError("away")

        if not fails:
            heart.core.owners["llm"] = Owner()

        caller = await heart.caller("red")

        with monkeypatch.context() as patch:
            patch.setattr(heart.core.store.usage, "add_many", add_many)

            with pytest.raises(Unavailable) as caught:
                await heart.core.invoker.invoke(caller, Invocation(target=ASK))

        expected = "core.owner.unavailable" if fails else "core.usage.unavailable"
        assert caught.value.code == expected


async def test_a_deadline_that_has_passed_starts_nothing(heart: Heart, owner: Owner) -> None:
    """No effect of a call whose caller is told that it did not happen in time."""
    with pytest.raises(UpstreamTimeout):
        await heart.core.invoker.invoke(
            await heart.caller("red"), Invocation(target=ASK, deadline=time.monotonic() - 1)
        )

    assert owner.seen == []


async def test_a_call_in_time_is_answered(heart: Heart, owner: Owner) -> None:
    """A deadline that is kept changes nothing."""
    result = await heart.core.invoker.invoke(
        await heart.caller("red"), Invocation(target=ASK, deadline=time.monotonic() + 60)
    )
    assert isinstance(result, Complete)


async def test_what_is_no_call_is_unsupported(heart: Heart) -> None:
    """A server can be seen, not called; a family nobody speaks is nobody's."""
    admin = await heart.caller(admin=True, role="platform_admin")

    with pytest.raises(Unsupported):
        await heart.core.invoker.invoke(
            admin, Invocation(target=Target(kind=Kind.SERVER, name="desk"))
        )

    with pytest.raises(FailedPrecondition):
        heart.core.invoker.module_of_family("a2a")
