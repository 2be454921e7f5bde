"""The services a caller sees, their models, and how their providers are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.server import Play
from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.surfaces.model_entity import model_shown
from spindle_spi.context import Subject
from spindle_spi.records import ModelFacts, ModelSpec, Visibility
from tests.llm.support.gateway import gateway, play_of
from tests.llm.support.records import CONTEXT, model, provider

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject
    from tests.llm.support.gateway import Client, Gateway

pytestmark = pytest.mark.anyio

ENTITY = {
    *("name", "upstream_model_name", "type", "state", "description", "publisher", "modified_at"),
    *("architecture", "quantization", "max_tokens", "size", "parameters", "streaming"),
    *("instructed", "coding", "tooling", "is_mlx", "is_gguf", "service", "runtime_name"),
    "file_path",
}
"""Every field of the requirement's model, and of its table."""


async def read(up: Gateway, path: str, method: str = "GET") -> Client:
    return await up.ask(path=path, method=method)


@pytest.mark.requirement("001-api-services", "001-api-service-models", "001-api-capabilities")
async def test_a_service_is_listed_with_what_it_can_do() -> None:
    """By name; each can be read alone, with its models, by either of their names."""
    async with gateway(play_of("plain")) as up:
        listed = (await read(up, "/llm/services")).json["services"]
        assert isinstance(listed, list)
        (service,) = listed
        alone = (await read(up, "/llm/services/up")).json
        models = (await read(up, "/llm/services/up/models")).json
        one = (await read(up, "/llm/services/up/models/m")).json
        same = (await read(up, "/llm/services/up/models/up~m")).json
        able = (await read(up, "/llm/services/up/capabilities")).json

    assert service == alone
    assert (alone["name"], alone["provider_type"], alone["models"]) == ("up", "openai", 1)
    assert models == {"service": "up", "models": [one]}
    assert one == same
    assert set(one) >= ENTITY
    assert able == {"service": "up", "capabilities": ServiceCapabilities(embedding=True).shown()}


@pytest.mark.requirement("001-model-entity")
def test_a_model_is_shown_with_all_that_is_known_of_it() -> None:
    """Nothing is made up, nothing left out."""
    facts = ModelFacts(
        publisher="p",
        architecture="qwen",
        quantization="Q4",
        size=7,
        parameters=8,
        runtime="llama.cpp",
        file_path="/m",
        modified_at=9,
        instructed=True,
        coding=True,
        is_gguf=True,
    )
    spec = ModelSpec(
        provider="up",
        upstream_name="a/b:c",
        model_type="vlm",
        context_window=10,
        supports=("chat", "streaming", "function_calling"),
        state="loaded",
        facts=facts,
    )
    shown = model_shown(replace(model("x"), spec=spec), provider(), is_up=True)
    assert shown["name"] == "up~x"
    assert shown["upstream_model_name"] == "a/b:c"
    assert (shown["type"], shown["state"], shown["max_tokens"]) == ("vlm", "loaded", 10)
    assert shown["service"] == "up"
    assert shown["runtime_name"] == "llama.cpp"
    assert all(shown[flag] for flag in ("streaming", "instructed", "coding", "tooling", "is_gguf"))
    assert shown["is_mlx"] is False
    assert shown["is_available"] is True
    assert model_shown(model("x"), provider(), is_up=False)["is_available"] is False


@pytest.mark.requirement("001-api-ping", "003-health-query")
async def test_a_ping_asks_the_service() -> None:
    """One that answers is there; one that fails is told of in our words."""
    async with gateway(lambda _: Play(body=b'{"data":[]}')) as up:
        ping = (await read(up, "/llm/services/up/ping")).json
        assert (ping["service"], ping["is_available"]) == ("up", True)
        assert ping["last_error"] is None
        assert up.upstream.seen[-1].path == "/v1/models"

    async with gateway(lambda _: Play(status=401, body=b"bad key sk-upstream-secret")) as up:
        client = await read(up, "/llm/services/up/ping")
        assert client.json["rate_limit_status"] == "BLOCKED"
        assert b"sk-upstream" not in client.content
        assert "credential" in str(client.json["last_error"])


@pytest.mark.requirement("003-health-query")
async def test_the_health_of_providers_is_what_calls_left() -> None:
    """One alone, all together, and asked now."""
    async with gateway(play_of("error-500", stream=False)) as up:
        before = (await read(up, "/llm/providers/health")).json
        await up.chat()
        identity = "provider:up"
        probed = (await read(up, f"/llm/providers/{identity}/health", "POST")).json
        after = (await read(up, f"/llm/providers/{identity}/health")).json
        by_name = (await read(up, "/llm/providers/up/health")).json
        together = (await read(up, "/llm/providers/health")).json

    assert (before["is_healthy"], before["total"]) == (True, 1)
    assert probed["error_count"] == after["error_count"] == by_name["error_count"]
    assert isinstance(after["error_count"], int)
    assert after["error_count"] >= 1
    assert together["error_count"] == after["error_count"]
    assert set(after) >= {
        *("provider_id", "is_healthy", "error_count", "average_latency", "last_error"),
        *("last_success_timestamp", "rate_limit_status", "score", "chain", "breaker"),
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/llm/services/{}"),
        ("GET", "/llm/services/{}/models"),
        ("GET", "/llm/services/{}/models/m"),
        ("GET", "/llm/services/{}/ping"),
        ("GET", "/llm/services/{}/capabilities"),
        ("GET", "/llm/providers/{}/health"),
        ("POST", "/llm/providers/{}/health"),
    ],
)
async def test_a_hidden_service_is_absent(method: str, path: str) -> None:
    """The same answer, byte for byte, and nobody is asked."""
    stranger = replace(
        CONTEXT, subject=Subject(user_email="eve@x", token_id="t2", token_teams=("blue",))
    )

    async with gateway(play_of("plain")) as up:
        (record,) = [found for found in up.host.records if found.name == "up"]
        up.host.records.add(replace(record, visibility=Visibility.TEAM, team="red"))
        theirs = await up.ask(path=path.format("up"), method=method, context=stranger)
        absent = await up.ask(path=path.format("no"), method=method, context=stranger)
        services = await up.ask(path="/llm/services", method="GET", context=stranger)
        together = await up.ask(path="/llm/providers/health", method="GET", context=stranger)
        assert up.upstream.seen == []

    assert theirs.status == absent.status == 404
    assert error_of(theirs) == error_of(absent)
    assert services.json == {"services": []}
    assert together.json["total"] == 0


def error_of(client: Client) -> JsonObject:
    error = client.json["error"]
    assert isinstance(error, dict)
    return {**error, "traceId": None}
