"""The gateway an SDK is checked against: its upstream, its callers, and what a script is told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.sdk.upstream import FAILING_ONCE, HARD_NAME
from tests.support.environments import ROOT
from tests.support.spindle_process import SpindleProcess, clean_environment, running_spindle
from tests.support.upstream_process import running_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.types import Json, JsonObject

MODELS = (
    *(
        "plain",
        "echo",
        "tools",
        "parallel-tools",
        "reasoning",
        "length",
        "cut",
        "hang",
        "html",
        "refusal",
    ),
    *("in-stream-error", "error-400", "error-401", "error-429", "error-500", "error-503"),
    *("structured", "fussy", *FAILING_ONCE, HARD_NAME),
)
OPENAI_MODELS = (*MODELS, "choices", "logprobs")
ANTHROPIC_MODELS = (*MODELS, "signed-reasoning", "signed-tools", "text-and-tools", "stop-sequence")
EMBEDDING_MODELS = ("embed", "embed-float")
_CAPABILITIES: list[Json] = ["chat", "streaming", "function_calling"]


def configuration(upstream: str) -> JsonObject:
    """Return the gateway's configuration over an upstream."""
    services: JsonObject = {
        "up": {
            "provider_type": "openai",
            "urls": [f"{upstream}/v1"],
            "models": [
                *_declared(OPENAI_MODELS, _CAPABILITIES),
                *_declared(EMBEDDING_MODELS, ["embedding"]),
            ],
        },
        "claude": {
            "provider_type": "anthropic",
            "urls": [f"{upstream}/v1"],
            "models": _declared(ANTHROPIC_MODELS, _CAPABILITIES),
        },
        "mock": {"provider_type": "mock"},
    }
    # Nobody is left alone here: the checks make the upstream fail on purpose.
    patience: JsonObject = {"breaker": {"failures": 1_000_000, "ratio_calls": 1_000_000}}
    return {"llm": {"services": services, "routing": patience}}


def _declared(names: tuple[str, ...], supports: list[Json]) -> list[Json]:
    return [{"name": name, "supports": supports} for name in names]


@asynccontextmanager
async def running_gateway(home: Path) -> AsyncGenerator[dict[str, str]]:
    """Run upstream and gateway; give the environment an SDK's script is run with."""
    async with (
        running_upstream(module="tests.sdk.upstream") as upstream,
        running_spindle(configuration(upstream.url), home=home) as process,
    ):
        poor = await _token(process, {"name": "poor", "role": "developer", "teams": ["poor"]})
        bare = await _token(
            process,
            {"name": "bare", "role": "viewer", "teams": ["bare"], "permissions": ["models.read"]},
        )
        budget: JsonObject = {"scope": "team", "name": "poor", "period": "total", "limit_tokens": 1}
        await _post(process, "budgets", budget)

        yield {
            **clean_environment(),
            "PYTHONPATH": str(ROOT),
            "SPINDLE_URL": process.url,
            "SPINDLE_TOKEN": await _token(
                process, {"name": "dev", "role": "developer", "teams": ["red"]}
            ),
            "SPINDLE_POOR_TOKEN": poor,
            "SPINDLE_BARE_TOKEN": bare,
            "SPINDLE_ADMIN_TOKEN": process.admin_token,
            "SPINDLE_UPSTREAM": upstream.url,
            # Neither a proxy of the machine's nor telemetry of an SDK's is any part of this.
            "NO_PROXY": "*",
            "LANGSMITH_TRACING": "false",
            "OTEL_SDK_DISABLED": "true",
        }


async def _token(process: SpindleProcess, wanted: JsonObject) -> str:
    return str((await _post(process, "tokens", wanted))["token"])


async def _post(process: SpindleProcess, kind: str, body: JsonObject) -> JsonObject:
    async with process.client() as client:
        answer = await client.post(f"/admin/api/v1/{kind}", json=body)

    assert answer.status_code in (200, 201), answer.text
    value: JsonObject = answer.json()
    return value
