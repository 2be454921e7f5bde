"""The page of upstream credentials: its configurations are valid and mean what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spindle_mcp import McpModule
from spindle_spi.records import GatewaySpec
from tests.core.cli.runner import run
from tests.core.config.written import load

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "upstream-credentials.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
TYPES = {
    "search": "headers",
    "crm": "client_credentials",
    "billing": "client_credentials",
    "tickets": "token_exchange",
    "code": "authorization_code",
    "notes": "authorization_code",
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_a_valid_configuration(text: str) -> None:
    """Each for itself, with the type its chapter is about, and every secret with a place."""
    settings = load(text)
    gateways = {r.name: r.spec for r in settings.declared if isinstance(r.spec, GatewaySpec)}

    for name, spec in gateways.items():
        assert spec.auth is not None
        assert spec.auth.type == TYPES[name]
        assert {ref.name for ref in spec.auth.secrets()} <= settings.secret_sources.keys()


def test_the_examples_show_every_type() -> None:
    """And every gateway of the table above is in one."""
    shown = {record.name for text in EXAMPLES for record in load(text).declared}
    assert shown >= set(TYPES)


def test_the_page_names_the_routes_there_are() -> None:
    """With the parameter in capitals."""
    named = set(re.findall(r"^\| `(?:GET|DELETE) (/mcp/[^`]+)`", PAGE, re.MULTILINE))
    routes = {route.path for route in McpModule().routes if route.path.startswith("/mcp/")}
    assert named == {path.replace("{gateway}", "GATEWAY") for path in routes}


def test_the_command_of_the_page_makes_the_gateway(tmp_path: Path) -> None:
    """Its input is `auth`, and is not shown again."""
    text = '{"headers": {"X-Api-Key": "the-key-of-the-page"}}'
    url = "https://search.example.com/mcp"
    made = run(
        *("gateway", "add", "search", "--url", url, "--auth-stdin", "--home", str(tmp_path)),
        stdin=text,
    )
    assert made.code == 0, made.stderr
    shown = run("gateway", "show", "search", "--json", "--home", str(tmp_path))
    assert '"X-Api-Key"' in shown.stdout
    assert "the-key-of-the-page" not in shown.stdout + made.stdout


@pytest.mark.parametrize("text", ["", "[]", "{", '"the-key"'])
def test_what_is_no_auth_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    """It may be the secret itself."""
    url = "https://search.example.com/mcp"
    made = run(
        *("gateway", "add", "search", "--url", url, "--auth-stdin", "--home", str(tmp_path)),
        stdin=text,
    )
    assert made.code != 0
    assert "Standard input is no JSON object" in made.stderr
    assert "the-key" not in made.stderr
