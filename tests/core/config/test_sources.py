"""Environment and command line over the file."""

from __future__ import annotations

import pytest

from spindle_spi.records import ProviderSpec
from tests.core.config.written import faults, load


def test_the_command_line_beats_the_environment_beats_the_file() -> None:
    """Single keys are replaced; the others stay."""
    text = "server: {port: 1, host: localhost, body_limit_bytes: 7}"
    environ = {"SPINDLE__SERVER__PORT": "2", "SPINDLE__SERVER__BODY_LIMIT_BYTES": "8"}
    server = load(text, environ=environ, overrides={"server": {"port": 3, "host": None}}).server

    assert (server.port, server.body_limit_bytes, server.host) == (3, 8, "localhost")


def test_variables_are_read_as_yaml() -> None:
    """Numbers, booleans, lists and mappings; what is none of these is a text."""
    settings = load(
        environ={
            "SPINDLE__SERVER__PORT": "0",
            "SPINDLE__SERVER__METRICS_ON_LOOPBACK": "yes",
            "SPINDLE__SERVER__ALLOWED_HOSTS": "[a.example, 'b.example']",
            "SPINDLE__FEATURES": "{one: true}",
            "SPINDLE__FEATURES__TWO": "off",
            "SPINDLE__LOGGING__MAIN__FILE": "a: b",
            "PATH": "ignored",
            "SPINDLE_HOME": "ignored",
        }
    )

    assert settings.server.port == 0
    assert settings.server.metrics_on_loopback
    assert settings.server.allowed_hosts == ("a.example", "b.example")
    assert settings.features == {"one": True, "two": False}
    assert settings.logging.main.file == "a: b"


@pytest.mark.parametrize(
    "text", ["12345", "true", "null-ish", "*star", "@at", "%p", "a: [b", "1.0"]
)
def test_a_text_in_a_variable_needs_no_quotes(text: str) -> None:
    """Where a text is wanted, the variable's text is taken as it is."""
    name = "SPINDLE__LLM__SERVICES__MOCK__DESCRIPTION"

    assert load(environ={name: text}).declared[0].description == text


def test_an_empty_variable_is_an_absent_one() -> None:
    """Deployment tools pass what is not set as an empty text."""
    assert load("server: {port: 5}", environ={"SPINDLE__SERVER__PORT": ""}).server.port == 5


def test_a_variable_finds_the_files_spelling() -> None:
    """Variables know neither case nor hyphens; a key the file has is meant."""
    text = "llm: {services: {My-Service: {urls: ['http://one']}}}"
    settings = load(text, environ={"SPINDLE__LLM__SERVICES__MY_SERVICE__URLS": "['http://two']"})

    (record,) = (record for record in settings.declared if record.module == "llm")
    assert record.name == "My-Service"
    assert isinstance(record.spec, ProviderSpec)
    assert record.spec.urls == ("http://two",)


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        (
            {"SPINDLE__SERVER__PORT": "http"},
            "server.port: is a string; expected an integer (SPINDLE__SERVER__PORT)",
        ),
        (
            {"SPINDLE__SERVER__PROT": "1"},
            "server.prot: unknown key, did you mean 'port'?",
        ),
        (
            {"SPINDLE__SERVER__ALLOWED_HOSTS": "[a"},
            "server.allowed_hosts: is not a YAML list or mapping (SPINDLE__SERVER__ALLOWED_HOSTS)",
        ),
        (
            {"SPINDLE__SERVER__PORT__X": "1", "SPINDLE__SERVER__PORT": "1"},
            "server.port.x: server.port is an integer, it has no keys to set",
        ),
        (
            {"SPINDLE__": "1"},
            "configuration: SPINDLE__ names no key; expected SPINDLE__SECTION__KEY",
        ),
        ({"SPINDLE__SERVER____PORT": "1"}, "configuration: SPINDLE__SERVER____PORT names no key"),
        (
            {"SPINDLE__LLM__SERVICES__A__URLS": "ftp://x"},
            "llm.services.a.urls: is a string; expected a list",
        ),
        (
            {"SPINDLE__LOGGING__MAIN__CONSOLE_LEVEL": "5"},
            "logging.main.console_level: 5 is not allowed; expected 'debug', 'info'",
        ),
    ],
)
def test_a_fault_of_a_variable_names_the_variable(environ: dict[str, str], fault: str) -> None:
    """The operator finds where the wrong value comes from."""
    found = faults(environ=environ)

    assert found[0].startswith(fault)
    assert next(iter(environ)) in found[0]


def test_a_fault_of_the_command_line_says_so() -> None:
    """`--port` beyond its bounds, for example."""
    assert faults(overrides={"server": {"port": 70000}}) == (
        "server.port: 70000 is not allowed; expected at most 65535 (command line)",
    )
