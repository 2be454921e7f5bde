"""What may answer in a model's place: its own fallbacks, then its provider's chain."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle_spi.context import TeamGrant
from spindle_spi.policy import Action
from spindle_spi.records import Kind, ModelSpec, ProviderSpec, Target, fallbacks_of
from tests.core.heart import Heart, open_heart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.context import AuthenticatedContext

RED = Target(kind=Kind.MODEL, name="up~red")
OPEN = Target(kind=Kind.MODEL, name="up~open")


@pytest.fixture
async def heart(tmp_path: Path) -> AsyncGenerator[Heart]:
    async with open_heart(tmp_path) as heart:
        yield heart


def _alternatives(heart: Heart, who: AuthenticatedContext, target: Target) -> list[str]:
    permit = heart.core.admission.admit(who, target, Action.EXECUTE)
    return [record.name for record in permit.alternatives]


async def _add_provider(heart: Heart, name: str, *models: str) -> None:
    """Add a provider like `up`, with models like `up~open`."""
    by_name, catalog = heart.core.snapshots.current.by_name, heart.core.store.catalog
    await catalog.upsert(replace(by_name[Kind.PROVIDER, "up"], id=name, name=name))

    for model in models:
        unified = f"{name}~{model}"
        spec = ModelSpec(provider=name, upstream_name=model)
        like = by_name[Kind.MODEL, "up~open"]
        await catalog.upsert(replace(like, id=unified, name=unified, spec=spec))


@pytest.mark.requirement("003-chat-fallback")
async def test_a_providers_chain_comes_after_the_models_own_fallbacks(heart: Heart) -> None:
    """At each provider of it the model of the same upstream name, where there is one."""
    await _add_provider(heart, "second", "open")
    await _add_provider(heart, "third")
    await _add_provider(heart, "fourth", "open", "other")
    provider = heart.core.snapshots.current.by_name[Kind.PROVIDER, "up"]
    assert isinstance(provider.spec, ProviderSpec)
    spec = replace(provider.spec, fallbacks=("second", "third", "gone", "fourth"))
    await heart.core.store.catalog.upsert(replace(provider, spec=spec))
    red = await heart.caller("red")
    assert _alternatives(heart, red, OPEN) == ["up~red", "second~open", "fourth~open"]


@pytest.mark.requirement("003-chat-fallback")
async def test_a_fallback_the_caller_may_not_use_is_not_in_the_permit(heart: Heart) -> None:
    """To see it is not enough: a role in a team holds for that team's models."""
    model = heart.core.snapshots.current.by_name[Kind.MODEL, "up~red"]
    assert isinstance(model.spec, ModelSpec)
    spec = replace(model.spec, fallbacks=("up~open",))
    await heart.core.store.catalog.upsert(replace(model, spec=spec))
    whole = await heart.caller("red")
    grants = (TeamGrant(team="red", permissions=("llm.invoke",)),)
    scope = replace(whole.visibility_scope, permissions=("llm.read",), team_grants=grants)
    assert _alternatives(heart, whole, RED) == ["up~open"]
    assert _alternatives(heart, replace(whole, visibility_scope=scope), RED) == []


def test_what_is_no_model_has_no_fallbacks() -> None:
    """And a model whose provider has no chain has its own alone."""
    spec = ModelSpec(provider="a", upstream_name="m", fallbacks=("b~n",))
    assert fallbacks_of(spec, None) == ("b~n",)
    assert fallbacks_of(spec, ProviderSpec(provider_type="openai")) == ("b~n",)
    assert fallbacks_of(ProviderSpec(provider_type="openai", fallbacks=("b",)), None) == ()
