"""The list of models and one model of it: what this caller sees, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.openai import answer
from spindle_conformance.upstreams.server import Play
from spindle_spi.errors import PermissionDenied
from spindle_spi.records import Kind, Visibility
from tests.llm.support.gateway import Gateway, gateway
from tests.llm.support.records import CONTEXT, model, provider

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("000-models")]

OTHER = replace(CONTEXT, subject=replace(CONTEXT.subject, token_teams=("blue",)))
SHOWN: JsonObject = {
    "id": "up~m",
    "object": "model",
    "created": 1_700_000_000,
    "owned_by": "up",
    "provider": "up",
    "provider_type": "openai",
    "context_window": None,
    "max_tokens": None,
    "feature_flags": ["chat", "streaming"],
    "is_available": True,
}


async def _get(up: Gateway, path: str) -> bytes:
    client = await up.ask(path=path, method="GET")
    assert client.is_complete
    return client.content


@pytest.mark.parametrize("prefix", ["/v1", ""])
async def test_a_caller_gets_the_models_they_see(prefix: str) -> None:
    """In OpenAI's form, with and without the version."""
    hidden = model("h", visibility=Visibility.TEAM, team="blue")

    async with gateway(answer, model("m"), hidden) as up:
        mine = await up.ask(path=f"{prefix}/models", method="GET")
        theirs = await up.ask(path=f"{prefix}/models", method="GET", context=OTHER)

    assert mine.json == {"object": "list", "data": [SHOWN]}
    assert theirs.json == {"object": "list", "data": [{**SHOWN, "id": "up~h"}, SHOWN]}
    assert mine.headers["x-request-id"] == "req-1"


@pytest.mark.requirement("003-models-list")
async def test_a_list_may_be_of_one_provider() -> None:
    """Another provider's models are left out; nobody's are none."""
    async with gateway(answer, model("m")) as up:
        up.host.records.add(provider("other"), model("n", of="other"))
        whole = await up.ask(path="/v1/models", method="GET")
        one = await up.ask(path="/v1/models", method="GET", query="provider=other")
        none = await up.ask(path="/v1/models", method="GET", query="provider=nobody")

    assert len(whole.json["data"]) == 2  # type: ignore[arg-type]
    assert [entry["id"] for entry in one.json["data"]] == ["other~n"]  # type: ignore[index,call-overload,union-attr]
    assert none.json["data"] == []


@pytest.mark.requirement("003-models-list")
async def test_a_model_of_a_provider_that_is_down_is_not_available() -> None:
    """It stays in the list, and says so until its provider answers again."""
    async with gateway(Play(status=401, body=b"no"), model("m")) as up:
        before = await up.ask(path="/v1/models/up~m", method="GET")
        await up.ask(path="/llm/providers/up/health", method="POST")
        after = await up.ask(path="/v1/models", method="GET")

    assert before.json["is_available"] is True
    assert [entry["is_available"] for entry in after.json["data"]] == [False]  # type: ignore[index,call-overload,union-attr]


async def test_the_type_of_a_hidden_provider_is_not_told() -> None:
    """Its models may be seen all the same."""
    async with gateway(answer, model("m")) as up:
        up.host.records.add(replace(provider(), visibility=Visibility.TEAM, team="red"))
        client = await up.ask(path="/v1/models/up~m", method="GET", context=OTHER)

    assert client.json["provider_type"] is None


async def test_callers_who_see_the_same_share_one_list() -> None:
    """It is made once, and again when what they see changes."""
    async with gateway(answer, model("m")) as up:
        first = await _get(up, "/v1/models")
        assert await _get(up, "/v1/models") == first
        assert up.host.journal.listed == [Kind.MODEL]
        up.host.records.add(model("n"))
        assert await _get(up, "/v1/models") != first


@pytest.mark.parametrize("name", ["m", "library/llama3:8b", "a~b", "ü x"])
async def test_one_model_is_found_by_all_that_follows_the_path(name: str) -> None:
    """Names may hold slashes, colons and tildes."""
    async with gateway(answer, model(name)) as up:
        client = await up.ask(path=f"/v1/models/up~{name}", method="GET")

    assert client.json == {**SHOWN, "id": f"up~{name}"}


async def test_unknown_and_hidden_models_are_answered_alike() -> None:
    """Byte for byte."""
    secret = model("m", visibility=Visibility.TEAM, team="blue")

    async with gateway(answer, secret) as up:
        hidden = await up.ask(path="/v1/models/up~m", method="GET")
        up.host.records.remove(secret)
        unknown = await up.ask(path="/v1/models/up~m", method="GET")

    assert (hidden.status, hidden.headers) == (404, unknown.headers)
    assert hidden.content == unknown.content
    assert hidden.error["code"] == "model_not_found"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/up~m"])
async def test_what_the_core_refuses_is_told_in_openais_shape(path: str) -> None:
    """Such as a permission that is missing."""
    async with gateway(answer) as up:
        for operation in ("list", "fetch"):
            up.host.refuse(operation, PermissionDenied("No."))

        client = await up.ask(path=path, method="GET")

    assert (client.status, client.error["type"]) == (403, "permission_error")
