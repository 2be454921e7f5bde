"""The policy rules of providers and models are named where something breaks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core.catalog.desk import open_desk
from tests.core.config.written import faults

if TYPE_CHECKING:
    from pathlib import Path

    from spindle_spi.types import JsonObject

LOCAL = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize("body", [{"api_base": LOCAL}, {"api_base": LOCAL, "name": " "}])
async def test_a_provider_has_a_name(tmp_path: Path, body: JsonObject) -> None:
    """ProviderHasName: POL-LLM-001."""
    async with open_desk(tmp_path) as desk:
        told = await desk.ask("POST", "/llm/providers", body)
        assert (told.status, "(POL-LLM-001)" in told.message) == (400, True), told.raw


@pytest.mark.parametrize("key", ["context_window", "max_output_tokens"])
async def test_a_model_takes_and_gives_some_tokens(tmp_path: Path, key: str) -> None:
    """ModelHasPositiveMaxTokens: POL-LLM-002, in the configuration and in the registry."""
    fault, *_ = faults(f"llm: {{services: {{up: {{models: [{{name: m, {key}: 0}}]}}}}}}")
    assert f"{key}: 0 is not allowed; expected at least 1 (POL-LLM-002)" in fault

    async with open_desk(tmp_path) as desk:
        body: JsonObject = {"provider_id": "up", "model_id": "m", key: 0}
        told = await desk.ask("POST", "/llm/models", body)
        assert (told.status, "(POL-LLM-002)" in told.message) == (400, True), told.raw


def test_production_passes_nothing_by() -> None:
    """GatewayBypassOnlyInDev: POL-LLM-005."""
    (fault,) = faults("environment: production\npolicy: {bypass: true}")
    assert "(POL-LLM-005)" in fault
