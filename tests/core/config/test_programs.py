"""Gateways that are programs, as the configuration declares them and allows others."""

from __future__ import annotations

import pytest

from spindle.config.programs import AllowedProgram
from spindle.secrets import SecretSource
from spindle_spi.records import GatewaySpec, Kind, ProcessLimits
from spindle_spi.secret import SecretRef
from tests.core.config.written import HOME, faults, load


def entry(text: str) -> str:
    return f"mcp: {{gateways: {{git: {{{text}}}}}}}"


def test_a_program_is_a_record_and_its_secrets_are_looked_for_where_it_says() -> None:
    """Values of secrets are nowhere in the record."""
    settings = load(
        entry(
            "transport: stdio, command: uvx, args: [mcp-server-git, --quiet], cwd: /srv,\n"
            "  env: {LEVEL: info, ONE: {env_var: MINE}, TWO: {file: two.txt},\n"
            "    SIX: {secret: six}},\n"
            "  limits: {memory_mb: 512, open_files: 64}"
        )
    )
    (record,) = [each for each in settings.declared if each.kind is Kind.GATEWAY]

    assert record.spec == GatewaySpec(
        transport="stdio",
        command=("uvx", "mcp-server-git", "--quiet"),
        environment={"LEVEL": "info"},
        environment_secrets={
            "ONE": SecretRef(name="mcp.gateways.git.env.ONE"),
            "TWO": SecretRef(name="mcp.gateways.git.env.TWO"),
            "SIX": SecretRef(name="six"),
        },
        directory="/srv",
        limits=ProcessLimits(memory_mb=512, open_files=64),
    )
    sources = settings.secret_sources
    assert sources["mcp.gateways.git.env.ONE"] == SecretSource(env_var="MINE")
    found = sources["mcp.gateways.git.env.TWO"].file
    assert found is not None
    assert found.name == "two.txt"
    assert HOME not in found.parents
    assert "six" not in sources


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("transport: stdio", "git.command: is missing; expected a program to start"),
        ("transport: stdio, command: x, url: 'http://x'", "git.url: a program has no address"),
        ("transport: stdio, command: x, credential_env_var: X", "git.credential_env_var: nothing"),
        ("transport: stdio, command: x, cwd: here", "git.cwd: is no absolute path"),
        ("transport: stdio, command: x, args: [1]", "git.args[0]: is an integer"),
        ('transport: stdio, command: x, args: ["\\0"]', "git.args[0]: has a zero character"),
        ("transport: stdio, command: x, env: {A: 1}", "git.env.A: is an integer; expected a str"),
        ("transport: stdio, command: x, env: {'A=B': x}", 'git.env."A=B": is not the name of an'),
        ("transport: stdio, command: x, env: {A: {}}", "git.env.A: has not exactly one value"),
        ("transport: stdio, command: x, env: {A: {valeu: x}}", "env.A.valeu: unknown key, did you"),
        ("transport: stdio, command: x, env: {A: {env_var: 'a b'}}", "env.A.env_var: is not the"),
        ("transport: stdio, command: x, env: {A_TOKEN: abc}", "env.A_TOKEN: by its name this is a"),
        ("transport: stdio, command: x, env: {API_KEY: abc}", "env.API_KEY: by its name this is a"),
        ("transport: stdio, command: x, limits: {open_files: 0}", "limits.open_files: 0 is not al"),
        ("url: 'http://x', command: x", "git.command: a streamable_http gateway is no program"),
        ("transport: builtin, env: {A: b}", "git.env: a builtin gateway is no program"),
        ("transport: sse", "git.url: is missing; expected the URL of a sse server"),
        ("transport: sse, url: 'http://x', era: modern", "git.era: sse is older"),
        ("transport: pigeon", "git.transport: 'pigeon' is not allowed"),
    ],
)
def test_what_is_wrong_with_a_gateway_is_told_by_its_path(text: str, said: str) -> None:
    """And a secret is not repeated."""
    found = [fault for fault in faults(entry(text)) if said in fault]

    assert len(found) == 1, faults(entry(text))
    assert "abc" not in found[0]


def test_plain_names_are_no_secrets() -> None:
    """A count of tokens is none."""
    env = "env: {MAX_TOKENS: '5', TOKENIZERS_PARALLELISM: 'false', KEYBOARD: de, PUBLIC_KEY: x}"
    assert load(entry(f"transport: stdio, command: x, {env}")).declared


def test_other_programs_are_allowed_by_their_first_words() -> None:
    """Nothing is allowed by default."""
    assert load().programs == ()
    allowed = load(
        "mcp: {stdio: {allow: ['uvx mcp-server-git', {command: x, env: [A], cwd: [/srv]}]}}"
    ).programs
    assert allowed == (
        AllowedProgram(command="uvx mcp-server-git"),
        AllowedProgram(command="x", env=("A",), cwd=("/srv",)),
    )
    (said,) = faults("mcp: {stdio: {allow: [1]}}")
    assert said.startswith("mcp.stdio.allow[0]: is an integer")
    (said,) = faults("mcp: {stdio: {allow: [{env: [A]}]}}")
    assert said.startswith("mcp.stdio.allow[0].command: is missing")
