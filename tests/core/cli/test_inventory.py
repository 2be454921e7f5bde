"""`spindle config check`, `spindle modules`, and what every command has in common."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.core.cli.runner import run
from tests.support.sample_modules import Liar, Quiet, Sample, Twin, install

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_good_configuration_is_summed_up(tmp_path: Path) -> None:
    """ok, and what it amounts to."""
    checked = run("config", "check", "--home", str(tmp_path))
    assert checked.code == 0, checked.stderr
    assert checked.stdout.splitlines()[0] == "ok"
    assert "modules      llm, mcp" in checked.stdout
    assert "1 gateway" in checked.stdout


def test_every_fault_of_a_configuration_is_said(tmp_path: Path) -> None:
    """Keys of the core, of a module's section, and of a plugin's."""
    path = tmp_path / "spindle.yaml"
    path.write_text("server: {port: many}\nmcp: {gatewais: {}}\nnothing: {}\n")
    checked = run("config", "check", "--config", str(path))
    assert (checked.code, checked.stdout) == (1, "")

    for key in ("server.port", "mcp.gatewais", "nothing"):
        assert key in checked.stderr


def test_a_plugin_that_cannot_be_built_is_a_fault(tmp_path: Path) -> None:
    """It would be one at the start."""
    path = tmp_path / "spindle.yaml"
    path.write_text("plugins: {entries: [{name: x, plugin: no-such}]}\n")
    checked = run("config", "check", "--config", str(path))
    assert checked.code == 1
    assert "no-such" in checked.stderr


def test_modules_that_do_not_fit_are_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named with their distribution."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    install(tmp_path, sample=Sample, twin=Twin, liar=Liar)
    checked = run("config", "check", "--home", str(tmp_path))
    assert checked.code == 1
    assert "liar (samples 1.2): " in checked.stderr
    assert "sample and twin: the routes" not in checked.stdout
    assert "sample and twin: the routes" in checked.stderr


def test_installed_modules_are_listed_with_their_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First-party ones like everybody's."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    install(tmp_path, quiet=Quiet, liar=Liar)
    shown = run("modules", "list", "--json")
    rows = {row["id"]: row for row in json.loads(shown.stdout)}
    assert {"llm", "mcp", "quiet", "liar"} <= rows.keys()
    assert rows["quiet"]["distribution"] == "samples 1.2"
    assert rows["quiet"]["faults"] == []
    assert rows["liar"]["faults"]
    table = run("modules", "list")
    assert table.stdout.startswith("ID ")
    assert "spindle_spi" not in table.stderr


def test_every_route_is_listed_with_its_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inventory is the whole truth: no route without a declared permission."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    install(tmp_path, sample=Sample)
    shown = run("modules", "routes", "--json", "--home", str(tmp_path))
    routes = json.loads(shown.stdout)["routes"]
    by_path = {(route["method"], route["path"]): route for route in routes}
    assert by_path["GET", "/health"]["permission"] == "PUBLIC"
    assert by_path["GET", "/metrics"] == {
        "method": "GET",
        "path": "/metrics",
        "owner": "core",
        "permission": "metrics.read",
        "errors": "envelope",
    }
    assert by_path["POST", "/v1/chat/completions"]["permission"] == "llm.invoke"
    assert by_path["POST", "/mcp"]["errors"] == "json-rpc"
    assert by_path["GET", "/sample/word"]["owner"] == "sample"
    table = run("modules", "routes", "--home", str(tmp_path))
    assert "/v1/chat/completions" in table.stdout


def test_wrong_use_exits_with_2() -> None:
    """An unknown command, an unknown option, a value that is no number."""
    for arguments in (("nonsense",), ("serve", "--nonsense"), ("serve", "--port", "x")):
        assert (run(*arguments)).code == 2


def test_help_names_every_command_without_importing_a_module() -> None:
    """Also those that modules bring."""
    shown = run("--help")
    assert shown.code == 0

    for name in ("serve", "token", "config", "modules", "mcp"):
        assert f" {name} " in shown.stdout

    version = run("--version")
    assert version.stdout.startswith("spindle ")


def test_the_command_line_imports_nothing_heavy(tmp_path: Path) -> None:
    """`--help` must come at once."""
    code = (
        "import sys\nimport spindle.cli.app\n"
        "heavy = {'sqlalchemy', 'uvicorn', 'mcp', 'aiohttp', 'pydantic', 'spindle_llm'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert ran.stdout.strip() == "[]"
