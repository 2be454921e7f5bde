"""The core's own routes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from spindle.ingress.core_routes import core_inventory, core_routes
from spindle.ingress.requests import is_loopback
from spindle.ingress.routes import CORE, RouteSource
from spindle_spi.ingress import PUBLIC
from spindle_spi.module import HealthState
from tests.core.ingress.support import Harness, make_harness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle.ingress.routes import Mount
    from spindle_spi.ingress import Call
    from spindle_spi.types import Scope


@dataclass(slots=True)
class Operations:
    """A host as these routes see it."""

    states: dict[str, HealthState] = field(default_factory=dict[str, HealthState])
    harness: Harness | None = None
    is_store_available: bool = True

    async def module_states(self) -> Mapping[str, HealthState]:
        return self.states

    def render_metrics(self) -> bytes:
        return b"measures 1\n"

    def authorise(self, scope: Scope, call: Call, permission: str) -> None:
        assert self.harness is not None
        self.harness.ingress.authorise(scope, call, permission)

    def mounts(self) -> Sequence[Mount]:
        assert self.harness is not None
        return self.harness.ingress.table.mounts


def serve(operations: Operations, *, metrics_on_loopback: bool = False) -> Harness:
    routes = core_routes(operations, metrics_on_loopback=metrics_on_loopback)
    operations.harness = make_harness(RouteSource(owner=CORE, routes=routes))
    return operations.harness


@pytest.mark.requirement("004-health")
async def test_health_answers_ok_to_everybody() -> None:
    """GET /health answers 200 {"status":"ok"}."""
    answer = await serve(Operations()).ask("GET", "/health", token=None)
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("state", "status", "word"),
    [
        (HealthState.READY, 200, "ready"),
        (HealthState.DEGRADED, 200, "ready"),
        (HealthState.FAILED, 503, "not_ready"),
        (HealthState.DRAINING, 503, "not_ready"),
    ],
)
async def test_readiness_is_that_of_every_module(
    state: HealthState, status: int, word: str
) -> None:
    """A degraded module still serves; a failed or draining one does not."""
    operations = Operations({"llm": HealthState.READY, "mcp": state})
    answer = await serve(operations).ask("GET", "/ready", token=None)
    assert answer.status == status
    assert json.loads(answer.body) == {
        "status": word,
        "modules": {"llm": "ready", "mcp": state.value},
        "store": "ready",
    }


async def test_a_process_without_its_database_still_serves() -> None:
    """It says so, and stays where it is: calls are decided from memory."""
    answer = await serve(Operations(is_store_available=False)).ask("GET", "/ready", token=None)
    assert answer.status == 200
    assert json.loads(answer.body)["store"] == "unavailable"


async def test_metrics_need_their_permission() -> None:
    """Nothing is measured in public."""
    gate = serve(Operations())
    assert (await gate.ask("GET", "/metrics", token=None)).status == 401
    assert (await gate.ask("GET", "/metrics", token="poor")).status == 403
    answer = await gate.ask("GET", "/metrics")
    assert (answer.status, answer.body) == (200, b"measures 1\n")
    assert answer.headers[b"content-type"].startswith(b"text/plain; version=0.0.4")


@pytest.mark.parametrize(
    ("client", "token", "status"),
    [
        ("127.0.0.1", None, 200),
        ("::1", None, 200),
        ("192.0.2.7", None, 401),
        ("192.0.2.7", "poor", 403),
        ("192.0.2.7", "good", 200),
    ],
)
async def test_metrics_may_be_opened_on_loopback(
    client: str, token: str | None, status: int
) -> None:
    """Where the operator says so; everybody else still needs the permission."""
    gate = serve(Operations(), metrics_on_loopback=True)
    answer = await gate.ask("GET", "/metrics", token=token, client=(client, 1))
    assert answer.status == status


def test_loopback_is_read_from_the_address() -> None:
    """A mapped address counts, a name and a missing peer do not."""
    loopback = {"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"}
    others = {"192.0.2.1", "::ffff:192.0.2.1", "localhost", None}
    assert all(is_loopback(address) for address in loopback)
    assert not any(is_loopback(address) for address in others)


def test_the_inventory_says_what_each_route_asks_for() -> None:
    """Without a host to serve them."""
    shown = {route.path: route.permission for route in core_inventory().routes}
    own = {"/health": PUBLIC, "/ready": PUBLIC, "/metrics": "metrics.read"}
    assert shown | own == shown
