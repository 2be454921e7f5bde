"""An unmodified OpenAI client asks for vectors; two gateways keep them in one Redis."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import uuid4

import openai
import pytest

from spindle_conformance.upstreams.embeddings import vector
from tests.support.services import REDIS, needs_redis
from tests.support.spindle_process import SpindleProcess, running_spindle
from tests.support.upstream_process import running_upstream

if TYPE_CHECKING:
    from pathlib import Path

    from spindle_spi.types import JsonObject


def configuration(upstream: str) -> JsonObject:
    """Return a gateway with an embedding model, which keeps vectors in Redis."""
    models = [{"name": "embed", "supports": ["embedding"], "dimensions": 8, "input_price": 1000}]
    up = {"provider_type": "openai", "urls": [f"{upstream}/v1"], "models": models}
    return {
        "usage": {"flush_seconds": 0},
        "llm": json.loads(
            json.dumps(
                {
                    "services": {"up": up},
                    "embeddings_cache": {
                        "url": f"redis://{REDIS}/0",
                        "ttl_seconds": 60,
                        "shared": True,
                    },
                }
            )
        ),
    }


async def embedded(
    process: SpindleProcess, *texts: str, **options: int
) -> tuple[list[list[float]], int]:
    """Return the vectors of some texts as the client reads them, and the tokens it was told."""
    async with openai.AsyncOpenAI(
        base_url=f"{process.url}/v1", api_key=process.admin_token, max_retries=0
    ) as client:
        # The client asks for base64 and decodes it by itself.
        answer = await client.embeddings.create(model="up~embed", input=[*texts], **options)  # type: ignore[arg-type]
        assert [entry.index for entry in answer.data] == [*range(len(texts))]
        return [entry.embedding for entry in answer.data], answer.usage.prompt_tokens


async def spent(process: SpindleProcess) -> list[tuple[int, float]]:
    """Return tokens and dollars of every call, in order."""
    async with process.client() as client:
        rows = (await client.get("/usage/records")).json()["items"]

    return [(row["input_tokens"], row["cost_usd"]) for row in reversed(rows)]


@needs_redis
@pytest.mark.timeout(180)  # two starts, on a machine others use too
@pytest.mark.requirement("001-api-embeddings", "003-embed-idempotency", "003-embed-batch")
async def test_what_one_gateway_asked_for_another_has(tmp_path: Path) -> None:
    """Equal texts are asked of the upstream once, cost once, and have the same vectors."""
    one, two = (f"{uuid4()}" for _ in range(2))

    async with running_upstream() as upstream:
        settings = configuration(upstream.url)

        async with running_spindle(settings, home=tmp_path / "a") as first:
            vectors, tokens = await embedded(first, one)
            assert vectors == [vector(one)]
            assert tokens == len(one)

        async with running_spindle(settings, home=tmp_path / "b") as second:
            assert await embedded(second, one) == (vectors, tokens)
            assert (await embedded(second, one, two))[0] == [vector(one), vector(two)]
            assert (await embedded(second, one, dimensions=4))[0] == [vector(one, 4)]
            used = await spent(second)

    assert used == [(0, 0.0), (len(two), pytest.approx(len(two) / 1000)), (len(one), used[2][1])]
