"""What the core decided is kept, and holds no longer than what it was decided on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle.decisions import Decisions
from spindle_spi.errors import NotFound, PermissionDenied
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from tests.core.heart import Heart, open_heart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle.decisions import Decision
    from spindle_spi.context import AuthenticatedContext

OPEN = Target(kind=Kind.MODEL, name="up~open")
RED = Target(kind=Kind.MODEL, name="up~red")


@pytest.fixture
async def heart(tmp_path: Path) -> AsyncGenerator[Heart]:
    async with open_heart(tmp_path) as heart:
        yield heart


def decide(
    heart: Heart, kept: Decisions, who: AuthenticatedContext, target: Target = OPEN
) -> Decision:
    return kept.of(heart.core.snapshots.current, who, target, Action.EXECUTE)


async def test_the_same_call_is_decided_once(heart: Heart) -> None:
    """Whichever request it comes with; another caller's is another decision."""
    kept, text = Decisions(), await heart.token("red")
    first = decide(heart, kept, heart.resolve(text))
    assert decide(heart, kept, heart.resolve(text)) is first
    assert [record.name for record in first.records] == ["up~open", "up~red"]
    blue = decide(heart, kept, await heart.caller("blue"))
    assert [record.name for record in blue.records] == ["up~open", "up~blue"]


async def test_a_caller_with_less_does_not_get_what_was_decided_with_more(heart: Heart) -> None:
    """The token's id alone decides nothing: teams, permissions and server are compared."""
    kept, red = Decisions(), await heart.caller("red")
    assert decide(heart, kept, red, RED).record.name == "up~red"
    without_team = replace(red, subject=replace(red.subject, token_teams=()))

    with pytest.raises(NotFound):
        decide(heart, kept, without_team, RED)

    without_right = replace(red, visibility_scope=replace(red.visibility_scope, permissions=()))

    with pytest.raises(PermissionDenied):
        decide(heart, kept, without_right, RED)

    inside = replace(red, visibility_scope=replace(red.visibility_scope, server_id="elsewhere"))

    with pytest.raises(NotFound):
        decide(heart, kept, inside, RED)

    # Equal callers are one, though they are not the same objects.
    again = replace(
        red, subject=replace(red.subject), visibility_scope=replace(red.visibility_scope)
    )
    assert decide(heart, kept, again, RED) is decide(heart, kept, red, RED)


async def test_a_decision_ends_with_the_snapshot(heart: Heart) -> None:
    """A record that is gone is gone for the next call."""
    red = await heart.caller("red")
    permit = heart.core.admission.admit(red, RED, Action.EXECUTE)
    assert permit.record.name == "up~red"
    rest = [record for record in heart.core.settings.declared if record.name != "up~red"]
    await heart.core.store.catalog.replace("config", rest)
    await heart.core.snapshots.refresh()

    with pytest.raises(NotFound):
        heart.core.admission.admit(red, RED, Action.EXECUTE)


async def test_what_is_kept_is_bounded(heart: Heart, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is refused is not kept at all."""
    monkeypatch.setattr("spindle.decisions._MOST_KNOWN", 2)
    kept = Decisions()

    for _ in range(5):
        who = await heart.caller("blue")
        decide(heart, kept, who)

        with pytest.raises(NotFound):
            decide(heart, kept, who, RED)

        # A new caller came with a new snapshot.
        assert kept.kept() == 1

    who = await heart.caller("red", permissions=("*",))

    for target in (OPEN, RED, Target(kind=Kind.TOOL, name="ask")):
        decide(heart, kept, who, target)

    assert kept.kept() == 1
