"""The decision point outside: it narrows, it is asked once, and without it nothing passes."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from spindle.breaker import Breaker
from spindle.decision_point import DECISIONS, OPEN
from spindle_spi.errors import ConfigError, GatewayError, PermissionDenied, Unavailable
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from tests.core.config.written import faults, load
from tests.core.heart import Heart, open_heart
from tests.support.decision_point import FakeDecisionPoint, decision_point
from tests.support.http_server import Answered

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.context import AuthenticatedContext

OPEN_MODEL = Target(kind=Kind.MODEL, name="up~open")
RED_MODEL = Target(kind=Kind.MODEL, name="up~red")
BLUE_MODEL = Target(kind=Kind.MODEL, name="up~blue")
ASK = Target(kind=Kind.TOOL, name="ask")


@asynccontextmanager
async def gate(home: Path, **keys: object) -> AsyncGenerator[tuple[Heart, FakeDecisionPoint]]:
    """A core with a decision point outside."""
    async with decision_point() as point:
        bypass = keys.pop("bypass", False)
        settings = {"url": point.url, **keys}
        extra = f"policy: {json.dumps({'bypass': bypass, 'decision_point': settings})}\n"

        async with open_heart(home, extra) as heart:
            yield heart, point


async def ask(
    heart: Heart,
    caller: AuthenticatedContext,
    target: Target = RED_MODEL,
    action: Action = Action.EXECUTE,
) -> None:
    await heart.core.services_for("llm").catalog.admit(caller, target, action)


def counted(heart: Heart, decision: str) -> bool:
    return f'{DECISIONS}{{decision="{decision}"}}' in heart.core.metrics.render().decode()


@pytest.mark.requirement("003-chat-gateway")
async def test_every_call_is_asked_about_and_a_no_is_permission_denied(tmp_path: Path) -> None:
    """By AuthZEN, with the credential's token nowhere and the point's own token in its header."""
    async with gate(tmp_path) as (heart, point):
        caller = await heart.caller("red", user_email="ann@example.com")
        await ask(heart, caller)
        point.decide = lambda question: False

        with pytest.raises(PermissionDenied) as caught:
            await ask(heart, caller, ASK)

    assert caught.value.code == "core.policy.denied"
    first, second = point.asked
    assert point.requests[0].target == "/access/v1/evaluation"
    assert first["subject"] == {
        "type": "user",
        "id": "ann@example.com",
        "properties": {
            "is_admin": False,
            "teams": ["red"],
            "token_id": caller.subject.token_id,
        },
    }
    assert first["action"] == {"name": "execute", "properties": {"permission": "llm.invoke"}}
    assert first["resource"]["type"] == "model"
    assert first["resource"]["properties"]["name"] == "up~red"
    assert first["resource"]["properties"]["team"] == "red"
    assert first["context"] == {"server_id": None}
    assert (second["resource"]["type"], second["resource"]["properties"]["team"]) == ("tool", None)
    assert point.requests[0].headers["x-request-id"] == caller.trace.request_id
    assert "authorization" not in point.requests[0].headers
    assert counted(heart, "allow")
    assert counted(heart, "deny")


async def test_it_never_widens_what_our_own_rules_refuse(tmp_path: Path) -> None:
    """What is hidden is not even asked about, nor what the caller may not do."""
    async with gate(tmp_path) as (heart, point):
        hidden = await heart.caller("blue")
        poor = await heart.caller("red", role="viewer")

        with pytest.raises(GatewayError) as absent:
            await ask(heart, hidden, RED_MODEL)

        with pytest.raises(PermissionDenied):
            await ask(heart, poor, RED_MODEL)

    assert absent.value.code == "core.model.not_found"
    assert point.asked == []


async def test_a_fallback_it_does_not_allow_is_not_in_the_permit(tmp_path: Path) -> None:
    """Else it would answer what was never asked about; neither is one that cannot be judged."""
    async with gate(tmp_path, cache_seconds=0) as (heart, point):
        caller = await heart.caller("red", "blue")
        catalog = heart.core.services_for("llm").catalog
        point.decide = lambda question: question["resource"]["properties"]["name"] != "up~red"
        permit = await catalog.admit(caller, OPEN_MODEL, Action.EXECUTE)
        point.decide = lambda question: True
        whole = await catalog.admit(caller, OPEN_MODEL, Action.EXECUTE)

    assert [record.name for record in permit.alternatives] == ["up~blue"]
    assert [record.name for record in whole.alternatives] == ["up~red", "up~blue"]


async def test_answers_are_kept_for_a_while_for_one_caller_record_and_action(
    tmp_path: Path,
) -> None:
    """Another request of the caller is answered from memory; another caller's is not."""
    async with gate(tmp_path, cache_seconds=60) as (heart, point):
        text = await heart.token("red")

        for _ in range(3):
            await ask(heart, heart.resolve(text))

        await ask(heart, await heart.caller("red"))

        assert len(point.asked) == 2


async def test_a_no_is_kept_as_well(tmp_path: Path) -> None:
    async with gate(tmp_path, cache_seconds=60) as (heart, point):
        point.decide = lambda question: False
        caller = await heart.caller("red")

        for _ in range(2):
            with pytest.raises(PermissionDenied):
                await ask(heart, caller)

        assert len(point.asked) == 1


async def test_nothing_is_kept_where_the_operator_wants_nothing_kept(tmp_path: Path) -> None:
    async with gate(tmp_path, cache_seconds=0) as (heart, point):
        caller = await heart.caller("red")
        await ask(heart, caller)
        await ask(heart, caller)

        assert len(point.asked) == 2


async def test_what_is_kept_is_bounded_and_the_least_used_goes_first(tmp_path: Path) -> None:
    async with gate(tmp_path, cache_seconds=60, cache_size=2) as (heart, point):
        caller = await heart.caller("red", "blue")
        await ask(heart, caller)
        await ask(heart, caller, ASK)
        await ask(heart, caller)
        await ask(heart, caller, BLUE_MODEL)
        held = heart.core.decision_point
        assert held is not None
        assert held.cached() == 2
        await ask(heart, caller)
        assert len(point.asked) == 3


async def test_an_old_answer_is_asked_for_again(tmp_path: Path) -> None:
    async with gate(tmp_path, cache_seconds=0.000001) as (heart, point):
        caller = await heart.caller("red")
        await ask(heart, caller)
        await ask(heart, caller)

        assert len(point.asked) == 2


async def test_the_same_question_at_the_same_time_is_asked_once(tmp_path: Path) -> None:
    async with gate(tmp_path, timeout_seconds=10) as (heart, point):
        caller = await heart.caller("red")
        point.hold = anyio.Event()

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(ask, heart, caller)

                await anyio.wait_all_tasks_blocked()
                point.hold.set()

    assert len(point.asked) == 1


async def test_who_waits_for_a_question_whose_asker_left_asks_it_again(tmp_path: Path) -> None:
    """A client that goes away takes nobody else's answer along, and counts for nothing."""
    async with gate(tmp_path, timeout_seconds=10, breaker_failures=1) as (heart, point):
        caller = await heart.caller("red")
        point.hold = anyio.Event()
        scope = anyio.CancelScope()

        async def leaves() -> None:
            with scope:
                await ask(heart, caller)

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(leaves)

                while not point.asked:
                    await anyio.wait_all_tasks_blocked()

                group.start_soon(ask, heart, caller)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
                point.hold.set()

        assert len(point.asked) == 2


async def test_everybody_who_waited_for_an_answer_that_failed_is_refused(tmp_path: Path) -> None:
    async with gate(tmp_path, timeout_seconds=10) as (heart, point):
        caller = await heart.caller("red")
        point.hold, point.raw = anyio.Event(), Answered(status=500)
        codes: list[str] = []

        async def fails() -> None:
            with pytest.raises(Unavailable) as caught:
                await ask(heart, caller)

            codes.append(caught.value.code)

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(fails)

                await anyio.wait_all_tasks_blocked()
                point.hold.set()

    assert codes == ["core.policy.unavailable"] * 3
    assert len(point.asked) == 1


@pytest.mark.requirement("003-chat-gateway")
@pytest.mark.parametrize(
    "raw",
    [
        Answered(status=500, body=b'{"decision":true}'),
        Answered(status=404, body=b'{"decision":true}'),
        Answered(status=302, headers={"location": "/yes"}, body=b'{"decision":true}'),
        Answered(body=b""),
        Answered(body=b"<html>yes</html>"),
        Answered(body=b"[true]"),
        Answered(body=b"{}"),
        Answered(body=b'{"decision":"true"}'),
        Answered(body=b'{"decision":1}'),
        Answered(body=b"[" * 20_000),
        Answered(body=b'{"decision":true,"x":"' + b"x" * 100_000 + b'"}'),
    ],
)
async def test_no_decision_is_no_access(tmp_path: Path, raw: Answered) -> None:
    """Whatever comes instead of a decision; the client is told when to come back."""
    async with gate(tmp_path) as (heart, point):
        point.raw = raw

        with pytest.raises(Unavailable) as caught:
            await ask(heart, await heart.caller("red"))

        assert caught.value.code == "core.policy.unavailable"
        assert caught.value.retry_after is not None
        assert counted(heart, "error")


async def test_a_slow_or_absent_decision_point_is_no_access(tmp_path: Path) -> None:
    async with gate(tmp_path, timeout_seconds=0.05) as (heart, point):
        point.hold = anyio.Event()

        with pytest.raises(Unavailable):
            await ask(heart, await heart.caller("red"))

        point.hold.set()

    async with open_heart(
        tmp_path, "policy: {decision_point: {url: 'http://127.0.0.1:9'}}\n"
    ) as heart:
        with pytest.raises(Unavailable):
            await ask(heart, await heart.caller("red"))


@pytest.mark.requirement("003-chat-gateway")
async def test_after_failures_in_a_row_it_is_left_alone_for_a_while(tmp_path: Path) -> None:
    """The breaker opens, refuses by itself, and its state is a measure."""
    async with gate(tmp_path, breaker_failures=2, breaker_seconds=60) as (heart, point):
        point.raw = Answered(status=503)
        caller = await heart.caller("red")

        for _ in range(3):
            with pytest.raises(Unavailable):
                await ask(heart, caller)

        with pytest.raises(Unavailable) as caught:
            await ask(heart, caller)

        assert len(point.asked) == 2
        assert caught.value.retry_after is not None
        assert caught.value.retry_after > 50
        assert f"{OPEN} 1" in heart.core.metrics.render().decode()
        assert counted(heart, "refused")


def test_a_breaker_lets_one_try_and_closes_when_it_succeeds() -> None:
    now = 0.0
    breaker = Breaker(failures=2, seconds=10, clock=lambda: now)

    breaker.fail()
    breaker.succeed()
    breaker.fail()
    assert breaker.wait_seconds() == 0
    breaker.fail()
    assert breaker.is_open is True
    assert breaker.wait_seconds() == 10
    now = 10.0
    assert breaker.wait_seconds() == 0
    assert breaker.wait_seconds() > 0, "somebody else tries"
    breaker.forget()
    assert breaker.wait_seconds() == 0
    breaker.fail()
    assert breaker.wait_seconds() == 10
    now = 20.0
    assert breaker.wait_seconds() == 0
    breaker.succeed()
    assert breaker.wait_seconds() == 0
    assert breaker.wait_seconds() == 0, "closed for everybody"


async def test_only_the_kinds_and_actions_that_are_named_are_asked_about(tmp_path: Path) -> None:
    async with gate(tmp_path, kinds=["tool"], actions=["execute"]) as (heart, point):
        caller = await heart.caller("red")
        await ask(heart, caller)
        await ask(heart, caller, ASK, Action.READ)
        assert point.asked == []
        await ask(heart, caller, ASK)
        assert len(point.asked) == 1


async def test_callers_without_a_person_are_told_by_token_or_as_anonymous(tmp_path: Path) -> None:
    async with gate(tmp_path) as (heart, point):
        service = await heart.caller("red")
        await ask(heart, service)
        nobody = heart.resolve(None, "lobby")

        with pytest.raises(GatewayError):
            await ask(heart, nobody, OPEN_MODEL)

        server = Target(kind=Kind.SERVER, name="lobby")
        await ask(heart, nobody, server, Action.USE)
        subjects: list[Any] = [question["subject"] for question in point.asked]
        contexts: list[Any] = [question["context"] for question in point.asked]

    assert subjects[0]["type"] == "token"
    assert subjects[0]["id"] == service.subject.token_id
    assert subjects[1]["type"] == subjects[1]["id"] == "anonymous"
    assert contexts[1] == {"server_id": nobody.visibility_scope.server_id}


async def test_the_decision_point_has_a_token_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINT_TOKEN", "point-secret-for-this-test")

    async with gate(tmp_path, token_env_var="POINT_TOKEN") as (heart, point):
        await ask(heart, await heart.caller("red"))

    assert point.requests[0].headers["authorization"] == "Bearer point-secret-for-this-test"


async def test_without_its_token_the_gateway_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="POINT_TOKEN_NOT_SET"):
        async with open_heart(
            tmp_path,
            "policy: {decision_point: {url: 'http://127.0.0.1:9', "
            "token_env_var: POINT_TOKEN_NOT_SET}}\n",
        ):
            pass


@pytest.mark.requirement("003-chat-gateway")
async def test_the_bypass_of_development_leaves_out_the_decision_point_alone(
    tmp_path: Path,
) -> None:
    """What is hidden stays hidden, what is not permitted stays so; and it is said at the start."""
    async with gate(tmp_path, bypass=True) as (heart, point):
        await ask(heart, await heart.caller("red"))

        with pytest.raises(GatewayError, match="does not exist"):
            await ask(heart, await heart.caller("blue"), RED_MODEL)

        warnings = heart.core.settings.warnings

    assert point.asked == []
    assert [text for text in warnings if text.startswith("policy.bypass: ")]


@pytest.mark.requirement("003-chat-gateway")
def test_production_refuses_the_bypass_at_the_start() -> None:
    (fault,) = faults("environment: production\npolicy: {bypass: true}")

    assert fault.startswith("policy.bypass: true, but in production nothing passes")
    assert load("environment: production\npolicy: {bypass: false}").policy.bypass is False


def test_an_unencrypted_decision_point_elsewhere_is_warned_of() -> None:
    far = load("policy: {decision_point: {url: 'http://pdp.internal:8181'}}")
    near = load("policy: {decision_point: {url: 'http://127.0.0.1:8181'}}")

    assert far.warnings[0].startswith("policy.decision_point.url: not encrypted")
    assert near.warnings == ()


def test_a_secret_where_a_variable_is_named_is_not_shown() -> None:
    (fault,) = faults(
        "policy: {decision_point: {url: 'https://pdp.example.com', token_env_var: 'my-secret!'}}"
    )

    assert fault.startswith("policy.decision_point.token_env_var: is not the name of")
    assert "my-secret" not in fault
