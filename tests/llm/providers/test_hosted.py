"""OpenRouter and Azure OpenAI: OpenAI's form with headers, addresses and words of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.scripts import dump
from spindle_conformance.upstreams.server import Play
from spindle_llm.providers.azure_openai import AzureOpenAiAdapter
from spindle_llm.providers.inquiry import Reply
from spindle_llm.providers.openrouter import OpenRouterAdapter
from spindle_spi.errors import Category
from spindle_spi.records import ProviderSpec
from spindle_spi.secret import Secret
from tests.llm.support.gateway import gateway
from tests.llm.support.vendors import MODEL, listed, spec_of, vendor

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("003-chat-select")]

ROUTER, AZURE = OpenRouterAdapter(), AzureOpenAiAdapter()
RESOURCE = "https://res.openai.azure.com"


def test_openrouter_knows_an_application_by_its_headers() -> None:
    """Those an operator names, and no others."""
    spec = ProviderSpec(provider_type="openrouter", options={"referer": "https://a", "title": "A"})
    headers = ROUTER.headers(spec, Secret("k"))
    assert headers["Authorization"] == "Bearer k"
    assert (headers["HTTP-Referer"], headers["X-Title"]) == ("https://a", "A")
    assert "X-Title" not in ROUTER.headers(ProviderSpec(provider_type="openrouter"), None)


async def test_openrouter_tells_prices_and_windows() -> None:
    """For a million tokens, as the catalog counts."""
    found = await listed(ROUTER, "openrouter", path="/api/v1")
    plain = spec_of(found["plain"])
    assert (plain.input_price, plain.output_price, plain.cache_read_price) == (1.0, 2.0, 0.1)
    assert plain.cache_write_price is None
    assert (plain.context_window, plain.max_output_tokens) == (131_072, 8192)
    assert plain.supports == ("chat", "streaming", "function_calling")
    assert plain.created > 0


async def test_a_price_that_is_not_known_is_none() -> None:
    """Neither below zero, nor no number at all."""
    entry: Json = {"id": "a/auto", "pricing": {"prompt": "-1", "completion": "free"}}

    class Asked:
        provider = "up"
        base = "https://host/api/v1"

        async def get(self, url: str) -> Reply:
            assert url == "https://host/api/v1/models"
            return Reply(status=200, headers={}, body=dump({"data": [entry]}))

    (record,) = await ROUTER.models(Asked())  # type: ignore[arg-type]
    assert (spec_of(record).input_price, spec_of(record).output_price) == (None, None)


async def test_an_error_beside_a_choice_is_an_error() -> None:
    """OpenRouter's upstream failed in the middle; its number says how."""
    first: JsonObject = {"id": "1", "choices": [{"index": 0, "delta": {"content": "a"}}]}
    told: JsonObject = {**first, "error": {"code": 429, "message": "secret"}}
    told["choices"] = [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
    body = b"".join(b"data: " + dump(chunk) + b"\n\n" for chunk in (first, told))
    spec = ProviderSpec(provider_type="openrouter", long_timeout=2.0)
    play = Play(body=body, content_type="text/event-stream", streamed=True)

    async with gateway(play, spec=spec) as up:
        client = await up.chat(stream=True)

    assert client.error["code"] == "rate_limit_exceeded"
    assert b"secret" not in client.content
    assert b"[DONE]" not in client.content


def test_a_prompt_that_may_not_be_answered_is_the_clients() -> None:
    """Not the credential's, though the status is the same."""
    said = dump({"error": {"code": 403, "message": "The input was flagged by moderation: x"}})
    error = ROUTER.refusal(403, {}, said, None)
    assert (error.category, error.code) == (Category.INVALID_ARGUMENT, "content_filter")
    assert ROUTER.refusal(403, {}, b"", None).code == "upstream_auth"


@pytest.mark.parametrize(
    ("base", "version", "url"),
    [
        (RESOURCE, None, f"{RESOURCE}/openai/v1/chat/completions"),
        (f"{RESOURCE}/openai/v1/", None, f"{RESOURCE}/openai/v1/chat/completions"),
        (RESOURCE, "v1", f"{RESOURCE}/openai/v1/chat/completions"),
        (RESOURCE, "preview", f"{RESOURCE}/openai/v1/chat/completions?api-version=preview"),
        (
            f"{RESOURCE}/openai",
            "2024-10-21",
            f"{RESOURCE}/openai/deployments/my%2Fm/chat/completions?api-version=2024-10-21",
        ),
        (
            RESOURCE,
            "2025-01-01-preview",
            f"{RESOURCE}/openai/deployments/my%2Fm/chat/completions?api-version=2025-01-01-preview",
        ),
    ],
)
def test_azure_is_asked_by_its_version(base: str, version: str | None, url: str) -> None:
    """A date means deployments; anything else the API that needs none."""
    spec = ProviderSpec(provider_type="azure_openai", api_version=version)
    chat = AZURE.chat(spec, MODEL, {})
    assert chat.url(base, "my/m") == url
    assert chat is AZURE.chat(spec, MODEL, {})
    embeddings = AZURE.embeddings(spec)
    assert embeddings is not None
    assert embeddings.url(base, "my/m") == url.replace("/chat/completions", "/embeddings")


def test_azure_takes_the_key_in_a_header_of_its_own() -> None:
    """Or a token of Entra, by option."""
    key = Secret("k")
    headers = AZURE.headers(ProviderSpec(provider_type="azure_openai"), key)
    assert headers["api-key"] == "k"
    assert "Authorization" not in headers
    bearer = ProviderSpec(provider_type="azure_openai", options={"auth": "bearer"})
    assert AZURE.headers(bearer, key)["Authorization"] == "Bearer k"


@pytest.mark.parametrize("version", [None, "2024-10-21"])
async def test_azures_first_chunk_is_of_no_answer_yet(version: str | None) -> None:
    """What it tells of the prompt comes with the next; id and time are those of the answer."""
    spec = ProviderSpec(provider_type="azure_openai", api_version=version)

    async with vendor("azure_openai", "plain", spec=spec) as up:
        client = await up.chat("up~plain", stream=True)
        whole = await up.chat("up~plain")

    first, *others = client.chunks
    assert first["choices"]
    assert first["prompt_filter_results"] == whole.json["prompt_filter_results"]
    assert {(chunk["id"], chunk["created"]) for chunk in others} == {
        (whole.json["id"], whole.json["created"])
    }


async def test_azure_lists_what_may_be_asked() -> None:
    """By API v1, wherever the base ends."""
    found = await listed(AZURE, "azure_openai", path="/openai/v1")
    assert spec_of(found["plain"]).state == "loaded"
    assert "plain" in await listed(AZURE, "azure_openai")
