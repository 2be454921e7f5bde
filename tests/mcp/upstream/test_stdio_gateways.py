from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi import config_secrets
from spindle_spi.records import ProcessLimits
from spindle_spi.secret import SecretRef
from tests.mcp.support.clients import ERAS, connected, error_of, text_of
from tests.mcp.support.program import TOOLS
from tests.mcp.support.programs import SCRIPT, command, is_alive, until
from tests.mcp.support.records import gateway, has_tool, logged
from tests.mcp.support.serving import serving

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a")}


@pytest.mark.parametrize("era", ERAS)
async def test_a_program_serves_as_a_gateway(era: str) -> None:
    """Its tools are there; when it dies in a call the next call has another process."""
    host = FakeHost(secrets={"k": "s3cret"})
    host.records.add(
        gateway(
            "up",
            transport="stdio",
            command=command("modern"),
            environment={"COLOUR": "blue"},
            environment_secrets={"THE_KEY": SecretRef(name="k")},
            limits=ProcessLimits(open_files=64),
        )
    )

    async with (
        serving(host, CALLERS, wait_for=len(TOOLS)) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        seen = json.loads(await text_of(client, "up__env", {}))
        assert (seen["COLOUR"], seen["THE_KEY"]) == ("blue", "s3cret")
        first = json.loads(await text_of(client, "up__where", {}))
        died = await error_of(client, "up__die", {})
        assert died.data["code"] == "mcp.upstream.ended"
        assert "'up'" in died.message
        second = json.loads(await text_of(client, "up__where", {}))
        assert first[1] != second[1]
        await until(lambda: not is_alive(first[2]))

    await until(lambda: not is_alive(second[1]) and not is_alive(second[2]))
    for fields in logged(host, "mcp.gateway.stderr"):
        assert (fields["gateway"], fields["line"]) == ("up", "ready")


async def test_a_call_in_flight_is_never_run_again(tmp_path: Path) -> None:
    """A program that dies in a call may have done what was asked."""
    runs = tmp_path / "runs"
    dying = (
        f"import sys, json\nsys.path.insert(0, {str(Path(SCRIPT).parent)!r})\nimport program\n"
        "for line in sys.stdin:\n"
        "    message = json.loads(line)\n"
        "    if message.get('method') == 'tools/call':\n"
        f"        open({str(runs)!r}, 'a').write('run\\n')\n"
        "        sys.exit(1)\n"
        "    if 'id' in message: program.answer('modern', message)\n"
    )
    host = FakeHost()
    host.records.add(
        gateway("up", transport="stdio", command=(sys.executable, "-I", "-S", "-c", dying))
    )

    async with (
        serving(host, CALLERS, wait_for=len(TOOLS)) as served,
        connected(served.endpoint()) as client,
    ):
        failed = await error_of(client, "up__echo", {})
        assert failed.data["code"] == "mcp.upstream.ended"
        await until(lambda: len(logged(host, "mcp.gateway.connected")) == 2)

    assert runs.read_text() == "run\n"


async def test_a_changed_secret_starts_the_program_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the lease of the one before ends: a program is given its variables once."""
    monkeypatch.setattr(config_secrets, "LEASE_SECONDS", 0.05)
    host = FakeHost(secrets={"k": "first"})
    variables = {"THE_KEY": SecretRef(name="k")}
    host.records.add(
        gateway("up", transport="stdio", command=command("modern"), environment_secrets=variables)
    )

    async with serving(host, CALLERS, wait_for=len(TOOLS)) as served:
        host.secrets["k"] = "second"
        await until(lambda: len(logged(host, "mcp.gateway.connected")) >= 2)

        async with connected(served.endpoint()) as client:
            assert json.loads(await text_of(client, "up__env", {}))["THE_KEY"] == "second"


DYING = (
    f"import sys, json\nsys.path.insert(0, {str(Path(SCRIPT).parent)!r})\nimport program\n"
    "for line in sys.stdin:\n"
    "    message = json.loads(line)\n"
    "    program.answer('modern', message)\n"
    "    if message['method'] == 'tools/list': sys.exit(1)\n"
)


@pytest.mark.parametrize(("healthy_seconds", "grows"), [(30, True), (1e-9, False)])
async def test_pauses_grow_until_a_program_was_well_for_a_while(
    healthy_seconds: float, grows: bool
) -> None:
    """A program that ends after each start is not started again and again."""
    host = FakeHost()
    host.records.add(
        gateway("up", transport="stdio", command=(sys.executable, "-I", "-S", "-c", DYING))
    )

    async with serving(host, CALLERS, config={"healthy_seconds": healthy_seconds}) as served:
        await until(lambda: len(logged(host, "mcp.gateway.connected")) == 2)
        await until(lambda: len(logged(host, "mcp.gateway.down")) == 2)
        stats: Any = await served.module.stats()

    assert stats["gateways"]["up"]["failed_attempts"] == (2 if grows else 0)
    assert [fields["failure"] for fields in logged(host, "mcp.gateway.down")] == [
        "The program of the gateway 'up' has ended with status 1."
    ] * 2
    assert has_tool(host, "up__echo")
