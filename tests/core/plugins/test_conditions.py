"""Conditions: which calls an entry is for, and that asking about them stays cheap."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.plugins import EMPTY, PluginRegistry, open_guard, run_phase
from spindle.plugins.active import ActivePlugin
from spindle.plugins.conditions import Conditions, Facts
from spindle.plugins.registry import without
from spindle_spi.errors import PluginDenied
from spindle_spi.plugin import HookPhase
from spindle_spi.policy import Action
from spindle_spi.records import CatalogRecord, ExtensionSpec, Kind, ServerSpec, Target
from tests.core.heart import open_heart
from tests.core.plugins.samples import (
    CONTEXT,
    Word,
    bounded,
    call,
    cut,
    places,
    stream,
    text_segment,
)

if TYPE_CHECKING:
    from pathlib import Path

    from spindle_spi.context import AuthenticatedContext

pytestmark = pytest.mark.anyio


def caller(*teams: str, server: str | None = None) -> AuthenticatedContext:
    return replace(
        CONTEXT,
        subject=replace(CONTEXT.subject, token_teams=teams),
        visibility_scope=replace(CONTEXT.visibility_scope, server_id=server),
    )


def record(kind: Kind, name: str) -> CatalogRecord:
    return CatalogRecord(id=name, kind=kind, name=name, spec=ExtensionSpec())


def registry(*conditions: Conditions) -> PluginRegistry:
    plugin = Word("ab", "*")
    return PluginRegistry(
        [
            ActivePlugin(
                name=f"p{index}", plugin=plugin, phases=plugin.phases, conditions=conditions[index]
            )
            for index in range(len(conditions))
        ]
    )


MODEL = Facts(Kind.MODEL, ("up~gpt", "other~llama"), "desk", ("red", "blue"))
TOOL = Facts(Kind.TOOL, ("demo-echo",), None, ())


@pytest.mark.parametrize(
    ("conditions", "model", "tool"),
    [
        (Conditions(), True, True),
        (Conditions(teams=("r*",)), True, False),
        (Conditions(teams=("green", "b?ue")), True, False),
        (Conditions(teams=("green",)), False, False),
        (Conditions(servers=("des[kh]",)), True, False),
        (Conditions(models=("up~*",)), True, False),
        (Conditions(models=("*~llama",)), True, False),
        (Conditions(tools=("demo-*",)), False, True),
        (Conditions(tools=("demo-*",), models=("nothing",)), False, True),
        (Conditions(kinds=frozenset({"tool"})), False, True),
        (Conditions(kinds=frozenset({"model"}), teams=("green",)), False, False),
        (Conditions(models=("UP~*",)), False, False),
    ],
)
def test_every_list_that_is_given_has_to_match(
    conditions: Conditions, model: bool, tool: bool
) -> None:
    """Tools and models name what is called: a call is in one list or the other."""
    assert (conditions.hold(MODEL), conditions.hold(TOOL)) == (model, tool)


def test_a_caller_for_every_team_is_in_each() -> None:
    """An administrator's token without teams is not a way round a team's rules."""
    assert Conditions(teams=("red",)).hold(TOOL._replace(teams=None))


def test_the_plan_names_the_entries_whose_conditions_hold() -> None:
    """By team, by virtual server, and by what is called or may answer instead."""
    desk = CatalogRecord(
        id="s1", kind=Kind.SERVER, name="servers/desk", spec=ServerSpec(slug="desk")
    )
    plans = registry(
        Conditions(), Conditions(teams=("red",)), Conditions(servers=("desk",)),
        Conditions(models=("b",)),
    )  # fmt: skip
    a, b = record(Kind.MODEL, "a"), record(Kind.MODEL, "b")
    by_id = {"s1": desk}
    assert plans.plan(a, caller()).request == ("p0",)
    assert plans.plan(a, caller("red")).answer == ("p0", "p1")
    assert plans.plan(a, caller(server="s1"), (), by_id).request == ("p0", "p2")
    assert plans.plan(a, caller(), (b,)).request == ("p0", "p3")
    assert plans.plan(b, caller("red", server="gone"), (), by_id).request == ("p0", "p1", "p3")


def test_where_no_condition_holds_the_plan_is_the_one_empty_plan() -> None:
    """Nothing is parsed for a plugin that is for others."""
    assert registry(Conditions(teams=("red",))).plan(record(Kind.MODEL, "a"), caller()) is EMPTY


def test_one_plan_serves_all_calls_that_conditions_do_not_tell_apart() -> None:
    """Nobody asks for the server here; the number of kept plans has an end."""
    plans = registry(Conditions(models=("a*",)))
    first = plans.plan(record(Kind.MODEL, "ab"), caller("red"))
    assert plans.plan(record(Kind.MODEL, "ab"), caller("blue", server="x")) is first
    assert plans.plans_kept() == 1

    for number in range(5000):
        plans.plan(record(Kind.MODEL, f"m{number}"), caller())

    assert plans.plans_kept() <= 4096


def test_without_conditions_no_plan_is_made_for_a_call() -> None:
    """A look-up by kind, as ever."""
    plans = registry(Conditions())
    first = plans.plan(record(Kind.MODEL, "a"), caller("red"))
    assert plans.plan(record(Kind.MODEL, "b"), caller("blue")) is first
    assert plans.plans_kept() == 0


names = st.sampled_from(["", "red", "blue", "a", "ab", "*"])


@bounded
@given(
    teams=st.lists(names, max_size=2), tools=st.lists(names, max_size=2),
    models=st.lists(names, max_size=2), called=names, own=st.lists(names, max_size=2),
    text=st.text("ab ", max_size=60), at=places, denies=st.booleans(),
)  # fmt: skip
async def test_unary_and_stream_agree_under_conditions(
    teams: list[str], tools: list[str], models: list[str], called: str, own: list[str],
    text: str, at: list[int], denies: bool,
) -> None:  # fmt: skip
    """One plan is made for a call, and both forms follow it."""
    conditions = Conditions(teams=tuple(teams), tools=tuple(tools), models=tuple(models))
    plugin = Word("ab", None if denies else "*")
    plans = PluginRegistry(
        [ActivePlugin(name="w", plugin=plugin, phases=plugin.phases, conditions=conditions)]
    )
    plan = plans.plan(record(Kind.MODEL, called), caller(*own))
    whole = call(HookPhase.POST_INVOKE)
    streamed = await stream(open_guard(plans, plan.answer, whole, lambda: None), cut(text, at))

    if streamed.denied is None:
        (judged,) = await run_phase(plans, plan.answer, whole, (text_segment(text),))
        assert streamed.released == judged.text
    else:
        with pytest.raises(PluginDenied) as caught:
            await run_phase(plans, plan.answer, whole, (text_segment(text),))

        assert caught.value.code == streamed.denied


def test_a_plan_without_plugins_it_does_not_name_is_the_same() -> None:
    """And without all of them it is empty."""
    plan = registry(Conditions()).plan(record(Kind.TOOL, "t"), caller())
    assert without(plan, ("other",)) == plan
    assert without(plan, ("p0",)) is EMPTY


@pytest.mark.requirement("000-core-catalogs")
async def test_the_core_alone_decides_which_plugins_judge_a_call(tmp_path: Path) -> None:
    """From records, team and server in its own catalog; a module only gets the plan."""
    extra = (
        "\nplugins:\n  entries:\n"
        "  - {name: reds, plugin: pii, conditions: {teams: [red]}}\n"
        "  - {name: desk, plugin: pii, conditions: {servers: [desk], kinds: [model]}}\n"
        "  - {name: blue, plugin: pii, conditions: {models: ['*~blue']}}\n"
    )

    async with open_heart(tmp_path, extra) as heart:
        core = heart.core

        def plan(context: AuthenticatedContext, name: str, kind: Kind) -> tuple[str, ...]:
            target = Target(kind=kind, name=name)
            return core.admission.admit(context, target, Action.EXECUTE).hooks.request

        red, blue = await heart.caller("red"), await heart.caller("blue")
        text = await heart.token("blue")
        through = heart.resolve(text, server="desk")
        assert plan(red, "up~open", Kind.MODEL) == ("reds",)
        # The fallback up~blue is in a blue caller's permit, and not in a red one's.
        assert plan(blue, "up~open", Kind.MODEL) == ("blue",)
        assert plan(through, "up~open", Kind.MODEL)[:1] == ("desk",)
        assert plan(through, "ask", Kind.TOOL) == ()
