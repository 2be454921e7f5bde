"""Gateways that start programs: who may make one, of which commands, and for how long."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle.config import load_settings
from spindle_spi.errors import InvalidArgument
from spindle_spi.records import GatewaySpec, Kind, ProcessLimits
from spindle_spi.secret import Secret, SecretRef
from tests.core.catalog.desk import Desk, desk_over
from tests.support.databases import store_environ

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.types import JsonObject

ALLOW = """
egress: {allowed_hosts: ["127.0.0.1"]}
mcp:
  gateways: {own: {transport: stdio, command: /opt/own}}
  stdio: {allow: ["uvx mcp-server-git", {command: /opt/tool, env: [LEVEL, KEY], cwd: [/srv]}]}
"""
GIT: JsonObject = {
    "name": "git",
    "transport": "stdio",
    "command": "uvx",
    "args": ["mcp-server-git", "--repository", "/a b"],
}
TOOL: JsonObject = {"name": "tool", "transport": "stdio", "command": "/opt/tool"}


@asynccontextmanager
async def allowing(home: Path, text: str = ALLOW) -> AsyncGenerator[Desk]:
    """Open a control plane with a list of programs that may be started."""
    (home / "spindle.yaml").write_text(text)
    environ = await store_environ(home)

    async with desk_over(load_settings(home / "spindle.yaml", home=home, environ=environ)) as desk:
        yield desk


async def test_the_platform_makes_programs_of_allowed_commands(tmp_path: Path) -> None:
    """A whole record, shown in the words of its body to those who may change it."""
    async with allowing(tmp_path) as desk:
        body: JsonObject = {
            **TOOL,
            "env": {"LEVEL": "info", "KEY": {"secret": "mcp.env.key"}},
            "cwd": "/srv",
            "limits": {"open_files": 64},
        }
        made = await desk.make("gateways", body)
        assert {key: made[key] for key in ("command", "args", "env", "cwd", "limits")} == {
            "command": "/opt/tool",
            "args": [],
            "env": {"LEVEL": "info", "KEY": {"secret": "mcp.env.key"}},
            "cwd": "/srv",
            "limits": {"open_files": 64},
        }
        record = desk.record(Kind.GATEWAY, "tool")
        assert record is not None
        assert record.spec == GatewaySpec(
            transport="stdio",
            command=("/opt/tool",),
            environment={"LEVEL": "info"},
            environment_secrets={"KEY": SecretRef(name="mcp.env.key")},
            directory="/srv",
            limits=ProcessLimits(open_files=64),
        )
        told = await desk.ask("PATCH", "gateways/tool", {"env": {"LEVEL": None}, "args": ["-v"]})
        assert (told.data["env"], told.data["args"]) == (
            {"KEY": {"secret": "mcp.env.key"}},
            ["-v"],
        )
        listed = await desk.ask("GET", "gateways")
        assert b"/opt/" not in listed.raw
        await desk.make("gateways", GIT)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**TOOL, "command": "/bin/sh"}, "'/bin/sh' with these arguments is not on the list"),
        ({**GIT, "args": ["other"]}, "'uvx' with these arguments is not on the list"),
        ({**GIT, "args": []}, "'uvx' with these arguments is not on the list"),
        ({**TOOL, "env": {"LD_PRELOAD": "x"}}, "does not let '/opt/tool' have the variable 'LD_"),
        ({**GIT, "env": {"LEVEL": "x"}}, "have the variable 'LEVEL'"),
        ({**TOOL, "cwd": "/tmp"}, "does not let '/opt/tool' run in '/tmp'"),
    ],
)
async def test_nothing_else_is_started(tmp_path: Path, body: JsonObject, said: str) -> None:
    """Whoever asks; nor by changing what is allowed into it."""
    async with allowing(tmp_path) as desk:
        told = await desk.ask("POST", "gateways", body)
        assert (told.status, told.code) == (403, "core.gateway.program")
        assert said in told.message
        await desk.make("gateways", {**TOOL, "name": str(body["name"]), "args": []})
        changed: JsonObject = {
            key: body.get(key) for key in ("command", "args", "env", "cwd") if key in body
        }
        told = await desk.ask("PATCH", f"gateways/{body['name']}", changed)
        assert (told.status, told.code) == (403, "core.gateway.program")


async def test_nothing_is_allowed_by_default(tmp_path: Path) -> None:
    """But what the configuration declares itself."""
    async with allowing(tmp_path, "") as desk:
        told = await desk.ask("POST", "gateways", TOOL)
        assert (told.status, told.code) == (403, "core.gateway.program")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"KEY": {"env_var": "SPINDLE_SECRET_KEY"}}, "env.KEY.env_var: only the configuration"),
        ({"KEY": {"file": "/etc/shadow"}}, "env.KEY.file: only the configuration may say this"),
        ({"KEY": {"secret": "llm.services.openai.api_key"}}, "env.KEY.secret: is no secret for"),
        ({"KEY": 1}, "env.KEY: is an integer"),
    ],
)
async def test_a_program_is_given_no_other_secrets(
    tmp_path: Path, env: JsonObject, said: str
) -> None:
    """Of the gateway's own, of its files, and of other records."""
    async with allowing(tmp_path) as desk:
        told = await desk.ask("POST", "gateways", {**TOOL, "env": env})
        assert told.status == 400
        assert said in told.message


async def test_a_team_makes_no_program_and_changes_none(tmp_path: Path) -> None:
    """It may describe one it was given, and switch it off."""
    async with allowing(tmp_path) as desk:
        mine: JsonObject = {"team": "red", "visibility": "team"}
        told = await desk.ask("POST", "gateways", {**TOOL, **mine}, by="red")
        assert (told.status, told.code) == (403, "core.gateway.program")
        await desk.make("gateways", {**TOOL, **mine})
        told = await desk.ask("PATCH", "gateways/tool", {"args": ["x"]}, by="red")
        assert (told.status, told.code) == (403, "core.gateway.program")
        told = await desk.ask("PATCH", "gateways/tool", {"description": "Ours."}, by="red")
        assert told.status == 200
        told = await desk.ask("POST", "gateways/tool/state", {"enabled": False}, by="red")
        assert told.status == 200


async def test_a_caller_opens_no_program(tmp_path: Path) -> None:
    """Whatever it may otherwise."""
    async with allowing(tmp_path) as desk:
        services = desk.core.services_for("llm")
        context = desk.heart.resolve(desk.tokens["root"])
        spec = GatewaySpec(transport="stdio", command=("/opt/tool",))

        for asked in (spec, replace(spec, transport="sse", url="http://127.0.0.1:9/sse")):
            with pytest.raises(InvalidArgument):
                await services.catalog.open_gateway(context, asked)


async def test_what_is_allowed_no_longer_is_served_no_longer(tmp_path: Path) -> None:
    """The record stays, for whoever changes the list back."""
    async with allowing(tmp_path) as desk:
        await desk.make("gateways", TOOL)
        catalog = desk.core.services_for("mcp").catalog
        served = [record.name for record in await catalog.owned("mcp", Kind.GATEWAY)]
        assert served == ["own", "tool"]
        desk.core.catalog.programs.configure(())
        served = [record.name for record in await catalog.owned("mcp", Kind.GATEWAY)]
        assert served == ["own"]
        assert (await desk.ask("GET", "gateways/tool")).status == 200


async def test_a_module_may_ask_for_the_secrets_of_its_programs(tmp_path: Path) -> None:
    """And whoever manages secrets sees that they are used."""
    async with allowing(tmp_path) as desk:
        await desk.core.vault.put("mcp.env.key", Secret("s3cret"))
        env: JsonObject = {"KEY": {"secret": "mcp.env.key"}}
        made = await desk.make("gateways", {**TOOL, "env": env})
        assert "s3cret" not in str(made)
        secrets = desk.core.services_for("mcp").config_secrets
        assert (await secrets.secret(SecretRef(name="mcp.env.key"))).reveal() == "s3cret"
        told = await desk.ask("GET", "secrets/mcp.env.key")
        assert told.data["used_by"] == [{"kind": "gateway", "name": "tool"}]
        told = await desk.ask("DELETE", "secrets/mcp.env.key")
        assert (told.status, told.code) == (409, "core.secret.in_use")
