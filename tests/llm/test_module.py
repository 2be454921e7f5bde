"""The module as its host sees it."""

from __future__ import annotations

import pytest

from spindle_conformance.fakes import FakeHost
from spindle_llm import LlmModule
from spindle_llm.settings import SCHEMA, LlmSettings
from spindle_spi.errors import Unavailable
from spindle_spi.ingress import Call
from spindle_spi.module import HealthState
from spindle_spi.shapes import OPENAI
from spindle_spi.verification import faults_in
from tests.llm.support.gateway import Client, running
from tests.llm.support.records import CONTEXT

pytestmark = pytest.mark.anyio


def test_it_keeps_every_promise_a_host_checks() -> None:
    """Nothing is wrong with its descriptor, routes and methods."""
    module = LlmModule()
    assert faults_in(module) == []
    assert module.descriptor.module_id == "llm"
    assert [(prefix.prefix, prefix.errors) for prefix in module.prefixes] == [("/v1", OPENAI)]


def test_every_route_says_its_permission() -> None:
    """Chats need `llm.invoke`, lists `llm.read`."""
    routes = {(route.method, route.path): route.permission for route in LlmModule().routes}

    for prefix in ("/v1", ""):
        assert routes["POST", f"{prefix}/chat/completions"] == "llm.invoke"
        assert routes["GET", f"{prefix}/models"] == "llm.read"
        assert routes["GET", f"{prefix}/models/{{id:path}}"] == "llm.read"


async def test_before_it_runs_it_is_not_available() -> None:
    """A route that is asked too early answers 503 in its shape."""
    (route,) = [one for one in LlmModule().routes if one.path == "/v1/chat/completions"]
    client = Client(b'{"model":"m","messages":[1]}')
    await route.handler({"headers": []}, client.receive, client.send, Call(CONTEXT))
    assert (client.status, client.error["code"]) == (503, "llm.not_running")


async def test_it_starts_drains_and_stops() -> None:
    """Its health says which."""
    async with running(FakeHost()) as module:
        assert (await module.health()).state is HealthState.READY
        assert await module.stats() == {"in_flight": {}}
        await module.drain(0.0)
        assert (await module.health()).state is HealthState.DRAINING

    with pytest.raises(Unavailable):
        await module.stats()


def test_its_section_has_defaults_for_everything() -> None:
    """And every key of the schema has an effect."""
    assert LlmSettings.of({}) == LlmSettings()
    settings = LlmSettings.of(
        {
            "default_service": "a",
            "default_model": "b",
            "temperature": 1,
            "max_tokens": 2,
            "keep_alive_seconds": 3,
            "answer_limit_bytes": 4096,
            "chat": {"x": 1},
        }
    )
    assert settings == LlmSettings(
        default_service="a",
        default_model="b",
        temperature=1.0,
        max_tokens=2,
        keep_alive_seconds=3.0,
        answer_limit_bytes=4096,
        chat={"x": 1},
    )
    properties = SCHEMA["properties"]
    assert isinstance(properties, dict)
    assert set(properties) == set(LlmSettings.__dataclass_fields__)
