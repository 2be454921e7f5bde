"""Which model a request means: a name, a default, one that is loaded, or the policy's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.openai import answer
from spindle_spi.records import ModelSpec, Visibility
from tests.llm.support.providers import providers
from tests.llm.support.records import CONTEXT, model

if TYPE_CHECKING:
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio


def _with(
    record: CatalogRecord,
    *,
    state: str = "unknown",
    aliases: tuple[str, ...] = (),
    supports: tuple[str, ...] = ("chat", "streaming"),
    price: float | None = None,
) -> CatalogRecord:
    assert isinstance(record.spec, ModelSpec)
    spec = replace(
        record.spec,
        state=state,
        aliases=aliases,
        supports=supports,
        input_price=price,
        output_price=price,
    )
    return replace(record, spec=spec)


PLAIN = model("plain", of="one")
HIDDEN = model("plain", of="one", visibility=Visibility.TEAM, team="blue")


@pytest.mark.requirement("001-name-resolution")
@pytest.mark.parametrize(
    ("asked", "section", "how"),
    [
        ("one~plain", {}, "name"),
        ("quick", {}, "alias"),
        ("plain", {"default_service": "one"}, "default_service"),
        ("quick", {"default_service": "one"}, "alias"),
        (None, {"default_model": "one~plain"}, "default_model"),
        (None, {"default_model": "quick"}, "default_model"),
        (None, {"default_model": "plain", "default_service": "one"}, "default_model"),
        (None, {}, "first_loaded"),
        (None, {"default_model": "one~gone"}, "first_loaded"),
    ],
)
async def test_a_name_is_understood_in_each_of_its_forms(
    asked: str | None, section: JsonObject, how: str
) -> None:
    """And the record says which it was; the answer has the unified name."""
    loaded = _with(PLAIN, aliases=("quick",), state="loaded")
    unloaded = _with(model("first", of="one"), state="not_loaded")

    async with providers({"one": answer}, unloaded, loaded, section=section) as up:
        client = await up.chat(asked)
        record = await up.route(client)

    assert client.json["model"] == "one~plain"
    assert record["resolved_by"] == how


@pytest.mark.requirement("001-name-resolution")
async def test_a_name_is_split_at_its_first_tilde() -> None:
    """What follows is the upstream's, tildes and all."""
    async with providers({"one": answer}, model("org~plain", of="one")) as up:
        await up.chat("one~org~plain")
        received = up.gateway.received

    assert received["model"] == "org~plain"


@pytest.mark.requirement("001-name-resolution")
async def test_a_wrong_name_is_an_error_though_another_model_is_loaded() -> None:
    """Whoever names a model means that one."""
    async with providers({"one": answer}, _with(PLAIN, state="loaded")) as up:
        client = await up.chat("one~plian")

    assert (client.status, client.error["code"]) == (404, "model_not_found")


@pytest.mark.requirement("001-name-resolution")
async def test_the_first_that_is_loaded_is_one_the_caller_sees_and_that_chats() -> None:
    """Without one, the request has to name its model."""
    vectors = _with(model("a", of="one"), state="loaded", supports=("embedding",))
    hidden = _with(HIDDEN, state="loaded")

    async with providers({"one": answer}, vectors, hidden) as up:
        client = await up.chat(None)

    assert (client.status, client.error["code"]) == (400, "llm.model.missing")
    assert up.asked() == {"one": 0}


def _rules(*rules: JsonObject, default: str | None = None) -> JsonObject:
    routing: JsonObject = {"rules": list(rules)}

    if default is not None:
        routing["default"] = default

    return {"routing": routing}


DEAR = _with(model("plain", of="one"), price=1000.0)
CHEAP = model("plain", of="two")
CODE: JsonObject = {
    "task_type": "code",
    "model": "one~plain",
    "max_cost_per_1k": 0.5,
    "fallback": "two~plain",
}
TASK = {"x-spindle-task-type": "code"}


@pytest.mark.requirement("004-routing-policy")
@pytest.mark.parametrize("asked", [None, "auto"])
async def test_a_request_that_says_its_task_gets_the_policys_model(asked: str | None) -> None:
    """Above the cap the rule's fallback, and the record says what was passed over."""
    plays = {"one": answer, "two": answer}

    async with providers(plays, PLAIN, CHEAP, section=_rules(CODE)) as up:
        assert (await up.chat(asked, headers=TASK)).json["model"] == "one~plain"

    async with providers(plays, DEAR, CHEAP, section=_rules(CODE)) as up:
        client = await up.chat(asked, headers=TASK)
        record = await up.route(client)

    assert client.json["model"] == "two~plain"
    assert (record["resolved_by"], record["task_type"]) == ("policy", "code")
    assert record["exclusions"] == [{"model": "one~plain", "reason": "cost cap", "wait_ms": None}]


_HI: JsonObject = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}


@pytest.mark.requirement("004-routing-policy")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", _HI),
        ("/v1/responses", {"input": "hi", "store": False}),
    ],
)
async def test_every_surface_may_say_its_task(path: str, body: JsonObject) -> None:
    """By the same header."""
    plays = {"one": answer, "two": answer}

    async with providers(plays, PLAIN, CHEAP, section=_rules(CODE)) as up:
        client = await up.gateway.ask({"model": "auto", **body}, path=path, headers=TASK)

    assert client.json["model"] == "one~plain"


@pytest.mark.requirement("004-routing-policy")
async def test_a_model_that_is_named_is_the_one_that_answers() -> None:
    """The policy is for those who leave it the choice."""
    async with providers({"one": answer, "two": answer}, PLAIN, CHEAP, section=_rules(CODE)) as up:
        client = await up.chat("two~plain", headers=TASK)

    assert client.json["model"] == "two~plain"


@pytest.mark.requirement("004-routing-policy")
@pytest.mark.parametrize(
    ("task", "default", "model_of", "code"),
    [
        ("poetry", "two~plain", "two~plain", None),
        ("poetry", None, None, "llm.routing.unknown_task_type"),
        ("dear", "two~plain", "two~plain", None),
        ("dear", None, None, "llm.routing.no_match"),
        ("secret", None, None, "llm.routing.unknown_task_type"),
    ],
)
async def test_without_a_rule_the_policys_default_answers(
    task: str, default: str | None, model_of: str | None, code: str | None
) -> None:
    """Without one it is an error; a rule for a hidden model is no rule."""
    dear: JsonObject = {"task_type": "dear", "model": "one~plain", "max_cost_per_1k": 0.5}
    secret: JsonObject = {"task_type": "secret", "model": "one~hidden"}
    hidden = model("hidden", of="one", visibility=Visibility.TEAM, team="blue")
    section = _rules(dear, secret, default=default)

    async with providers(
        {"one": answer, "two": answer}, DEAR, CHEAP, hidden, section=section
    ) as up:
        client = await up.chat(None, headers={"x-spindle-task-type": task})

    if code is None:
        assert client.json["model"] == model_of
    else:
        assert (client.status, client.error["code"]) == (400, code)
        assert b"hidden" not in client.content


@pytest.mark.requirement("004-routing-policy")
async def test_auto_without_a_task_is_the_default_of_the_policy_or_of_all() -> None:
    """Without a policy it is a name like any other."""
    plays = {"one": answer, "two": answer}
    section = _rules(CODE, default="two~plain")

    async with providers(plays, PLAIN, CHEAP, section=section) as up:
        assert (await up.chat("auto")).json["model"] == "two~plain"

    section = {**_rules(CODE), "default_model": "one~plain"}

    async with providers(plays, PLAIN, CHEAP, section=section) as up:
        assert (await up.chat("auto")).json["model"] == "one~plain"

    async with providers(plays, PLAIN, CHEAP) as up:
        assert (await up.chat("auto")).status == 404


async def test_who_may_not_list_models_has_to_name_one() -> None:
    """A list is where those that are loaded are found."""
    scope = replace(CONTEXT.visibility_scope, permissions=("llm.invoke",))

    async with providers({"one": answer}, _with(PLAIN, state="loaded")) as up:
        context = replace(CONTEXT, visibility_scope=scope)
        body: JsonObject = {"messages": [{"role": "user", "content": "hi"}]}
        client = await up.gateway.ask(body, context=context)

    assert (client.status, client.error["code"]) == (400, "llm.model.missing")
