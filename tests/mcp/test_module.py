from __future__ import annotations

from dataclasses import fields

import pytest
from jsonschema import Draft202012Validator

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp import McpModule
from spindle_mcp.config import SCHEMA, McpSettings, settings_from
from spindle_spi.errors import Internal
from spindle_spi.invocation import Invocation
from spindle_spi.records import Kind, Target
from spindle_spi.shapes import JSON_RPC
from spindle_spi.verification import faults_in
from tests.mcp.support.serving import serving


def test_the_module_keeps_its_promises() -> None:
    """The host would start it."""
    assert faults_in(McpModule()) == []


def test_every_route_says_its_permission_and_its_server() -> None:
    """Two endpoints with their twins for keys, and the two routes of the oldest transport."""
    routes = [route for route in McpModule().routes if route.errors is JSON_RPC]
    assert {(route.method, route.path) for route in routes} == {
        (method, f"{prefix}{path}")
        for prefix in ("", "/servers/{slug}")
        for method, path in (
            *((method, "/mcp") for method in ("GET", "POST", "DELETE")),
            *((method, "/mcp-key") for method in ("GET", "POST", "DELETE")),
            ("GET", "/sse"),
            ("POST", "/sse/messages"),
        )
    }
    assert {route.permission for route in routes} == {"servers.use"}
    assert {route.server_param for route in routes if "slug" in route.path} == {"slug"}
    ends = ("/mcp", "/sse", "/servers/{slug}/mcp", "/servers/{slug}/sse")
    assert {r.path for r in routes if r.challenge} == set(ends)


def test_the_section_may_hold_exactly_the_settings() -> None:
    """What the schema names is what the module reads."""
    properties = SCHEMA["properties"]
    assert isinstance(properties, dict)
    assert set(properties) == {field.name for field in fields(McpSettings)}
    Draft202012Validator.check_schema(SCHEMA)


def test_settings_are_what_the_section_says_and_else_the_defaults() -> None:
    """Each by its name."""
    section = {"accelerated": False, "refresh_seconds": 7, "max_tools": 3}
    assert settings_from({}) == McpSettings()
    assert settings_from(dict(section)) == McpSettings(
        accelerated=False, refresh_seconds=7.0, max_tools=3
    )


@pytest.mark.anyio
async def test_a_call_without_a_permit_is_refused() -> None:
    """Nobody reaches a tool past the core."""
    async with serving(FakeHost(), {}) as served:
        target = Target(kind=Kind.TOOL, name="demo__echo")

        with pytest.raises(Internal):
            await served.module.invoke(caller(), Invocation(target=target))

        assert (await served.module.health()).state.value == "ready"
