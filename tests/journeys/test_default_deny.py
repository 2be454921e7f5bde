"""Every route of the inventory refuses who may not use it, in its own shape.

The routes come from the inventory, so a route that is added is tested by being there.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.journeys.gateway import Gateway, create_token, in_force, running_gateway, spindle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import httpx2

PUBLIC = {("GET", "/health"), ("GET", "/ready")}
SHAPES = {
    "openai": {"message", "type", "param", "code"},
    "envelope": {"category", "code", "message", "origin", "retryable", "traceId"},
    "json-rpc": {"code", "message", "data"},
}


@pytest.fixture(scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Gateway]:
    home: Path = tmp_path_factory.mktemp("home")

    async with running_gateway(home) as running:
        yield running


@pytest.fixture(scope="module")
async def routes(gateway: Gateway) -> list[dict[str, str]]:
    listed = await spindle(gateway.process.home, "modules", "routes", "--json")
    found: list[dict[str, str]] = json.loads(listed)["routes"]
    return found


def path_of(route: dict[str, str]) -> str:
    """A path the pattern matches: the server that exists, and any other name."""
    return re.sub(r"\{[^}]*\}", "x", route["path"].replace("{slug}", "desk"))


async def ask(gateway: Gateway, route: dict[str, str], token: str) -> httpx2.Response:
    async with gateway.process.client(token) as client:
        return await client.request(route["method"], path_of(route), json={})


def assert_refused(response: httpx2.Response, route: dict[str, str], status: int) -> None:
    where = (route["method"], route["path"], response.text)
    assert response.status_code == status, where
    body = response.json()
    assert body["error"].keys() == SHAPES[route["errors"]], where
    assert response.headers["x-spindle-origin"] in ("client", "policy"), where
    assert ("www-authenticate" in response.headers) == (status == 401), where


async def test_only_the_named_routes_are_public(routes: list[dict[str, str]]) -> None:
    """A route that needs no caller is a decision, written down here."""
    public = {(r["method"], r["path"]) for r in routes if r["permission"] == "PUBLIC"}
    assert public == PUBLIC
    assert len(routes) > len(PUBLIC)


@pytest.mark.parametrize("token", ["", "spn_nobody"])
async def test_every_other_route_needs_a_token_that_holds(
    gateway: Gateway, routes: list[dict[str, str]], token: str
) -> None:
    """No token and a bad one: 401 with a challenge."""
    for route in routes:
        if (route["method"], route["path"]) not in PUBLIC:
            assert_refused(await ask(gateway, route, token), route, 401)


async def test_every_other_route_needs_its_permission(
    gateway: Gateway, routes: list[dict[str, str]]
) -> None:
    """A good token without the permission: 403, and the permission is named."""
    token = await create_token(
        gateway.process.home, *("--team", "red"), *("--permission", "tokens.read")
    )

    # It may not list models, so what shows that it is in force is the refusal itself.
    await in_force(gateway.process, token)

    for route in routes:
        if (route["method"], route["path"]) not in PUBLIC:
            refused = await ask(gateway, route, token)
            assert_refused(refused, route, 403)
            assert route["permission"] in refused.text


async def test_a_public_route_answers_anybody(gateway: Gateway) -> None:
    """Health and readiness need nothing."""
    for method, path in PUBLIC:
        async with gateway.process.client("") as client:
            assert (await client.request(method, path)).status_code == 200
