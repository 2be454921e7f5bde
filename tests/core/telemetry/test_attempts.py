"""How the providers of attempts are called, and where they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spindle.telemetry.attempts import asked_by, operation_of, provider_name
from spindle_spi.admission import Attempt, Permit
from spindle_spi.records import ModelSpec
from tests.llm.support.records import SPEC, model, provider

ATTEMPT = Attempt(backend="up", target="up~m", outcome="ok", milliseconds=1)


@pytest.mark.parametrize(
    ("provider_type", "name"),
    [
        ("openai", "openai"),
        ("anthropic", "anthropic"),
        ("azure_openai", "azure.ai.openai"),
        ("cortexso", "cortex"),
        *((same, same) for same in ("lm_studio", "localai", "jan", "gpt4all", "ollama")),
        *((same, same) for same in ("openrouter", "mock")),
    ],
)
def test_a_provider_has_the_name_of_the_conventions(provider_type: str, name: str) -> None:
    """Where the conventions have a word for it, that is used, else our type's own."""
    assert provider_name(provider(spec=replace(SPEC, provider_type=provider_type))) == name


@pytest.mark.parametrize(
    ("urls", "where"),
    [
        (("http://127.0.0.1:8080/v1",), ("127.0.0.1", 8080)),
        (("https://api.example/v1",), ("api.example", 443)),
        (("https://ada:secret@api.example/v1?key=secret",), ("api.example", 443)),
        (("http://one/v1", "http://two/v1"), (None, None)),
        (("http://one:port/v1",), (None, None)),
        ((), (None, None)),
    ],
)
def test_an_address_is_a_host_and_a_port(
    urls: tuple[str, ...], where: tuple[str | None, int | None]
) -> None:
    """Nothing else of an address is told, and nothing when nobody knows which it was."""
    backend = provider(spec=replace(SPEC, urls=urls))
    asked = asked_by(Permit(id="p", lease_id="l", record=model("m"), backend=backend), ATTEMPT)
    assert (asked.address, asked.port) == where
    assert "secret" not in repr(asked)


def test_a_model_of_vectors_makes_embeddings() -> None:
    """The operation follows the model's type, or what it supports."""
    spec = ModelSpec(provider="up", upstream_name="m", model_type="embeddings")
    assert operation_of(replace(model("m"), spec=spec)) == "embeddings"
    spec = ModelSpec(provider="up", upstream_name="m", supports=("embedding",))
    assert operation_of(replace(model("m"), spec=spec)) == "embeddings"
    assert operation_of(model("m")) == "chat"
