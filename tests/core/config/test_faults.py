"""Every fault at once, each with its path, what was expected and where it stands."""

from __future__ import annotations

import pytest

from tests.core.config.written import faults, load

URL = "http://HOST[:PORT][/PATH] or https://…"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "sever: {}",
            "sever: unknown section, did you mean 'server'?; expected one of ",
        ),
        ("zzz: 1", "zzz: unknown section; expected one of"),
        ("server: {prot: 1}", "server.prot: unknown key, did you mean 'port'?; expected one of"),
        ("server: 1", "server: is an integer; expected a mapping"),
        ("llm: 1", "llm: is an integer; expected a mapping"),
        ("llm: {services: []}", "llm.services: is a list; expected a mapping"),
        ("server: {port: '8080'}", "server.port: is a string; expected an integer"),
        ("server: {port: 1.5}", "server.port: is a number; expected an integer"),
        ("server: {port: true}", "server.port: is a boolean; expected an integer"),
        ("server: {port: -1}", "server.port: -1 is not allowed; expected at least 0"),
        ("server: {host: ''}", "server.host: '' is not allowed; expected some text"),
        ("server: {host: 5}", "server.host: is an integer; expected a string"),
        ("server: {start_seconds: 0}", "server.start_seconds: 0 is not allowed; expected a number"),
        ("server: {drain_seconds: a}", "server.drain_seconds: is a string; expected a number"),
        ("server: {allowed_hosts: a}", "server.allowed_hosts: is a string; expected a list"),
        (
            "server: {allowed_hosts: [1]}",
            "server.allowed_hosts[0]: is an integer; expected a string",
        ),
        (
            "server: {allowed_hosts: ['http://a']}",
            "server.allowed_hosts[0]: 'http://a' is not a host name; expected a host without",
        ),
        (
            "server: {allowed_origins: [a.example]}",
            "server.allowed_origins[0]: 'a.example' is not an origin; expected http(s)://HOST",
        ),
        ("features: {a: 1}", "features.a: is an integer; expected true or false"),
        (
            "environment: prod",
            "environment: 'prod' is not allowed; expected 'development' or 'production'",
        ),
        ("spi: {transport: grpc}", "spi.transport: 'grpc' is not allowed; expected 'direct' or"),
        (
            "store: {url: 'mysql://x'}",
            "store.url: is not a database URL; expected sqlite+aiosqlite://…",
        ),
        ("store: {url: 'sqlite+aiosqlite://'}", "store.url: is not a database URL"),
        ("store: {url: 'sqlite+aiosqlite:///:memory:'}", "store.url: is not a database URL"),
        (
            "llm: {services: {a: {urls: ['ftp://x']}}}",
            f"llm.services.a.urls[0]: is not an http(s) URL; expected {URL}",
        ),
        ("llm: {services: {a: {urls: ['http://[']}}}", "llm.services.a.urls[0]: is not a URL"),
        ("llm: {services: {a: {urls: ['http://h:0']}}}", "llm.services.a.urls[0]: is not an http"),
        ("llm: {services: {a: {urls: ['http://h:x']}}}", "llm.services.a.urls[0]: is not a URL"),
        (
            "llm: {services: {a: {urls: ['http://a b']}}}",
            "llm.services.a.urls[0]: has a space in it",
        ),
        ("llm: {services: {a: {urls: ['']}}}", "llm.services.a.urls[0]: is not an http(s) URL"),
        (
            "llm: {services: {a: {urls: ['http://me:canary@h']}}}",
            f"llm.services.a.urls[0]: has credentials in it; expected {URL}, the secret in a key",
        ),
        ("llm: {services: {a: {}}}", "llm.services.a.urls: is missing; expected at least one URL"),
        (
            "llm: {services: {a: {urls: ['http://x'], api_format: soap}}}",
            "llm.services.a.api_format: 'soap' is not allowed; expected 'openai'",
        ),
        (
            "llm: {services: {a: {urls: ['http://x'], upstream: {verify_cert: 1}}}}",
            "llm.services.a.upstream.verify_cert: is an integer; expected true or false",
        ),
        (
            "llm: {services: {a: {urls: ['http://x'], models: [{}]}}}",
            "llm.services.a.models[0].name: is missing; expected a value",
        ),
        (
            "llm: {services: {a: {urls: ['http://x'], models: [{name: m, supports: [talk]}]}}}",
            "llm.services.a.models[0].supports[0]: 'talk' is not allowed; expected 'chat',",
        ),
        (
            "llm: {services: {mock: {visibility: secret}}}",
            "llm.services.mock.visibility: 'secret' is not allowed; expected 'public', 'team' or",
        ),
        ("plugins: {entries: [{}]}", "plugins.entries[0].plugin: is missing"),
        (
            "plugins: {entries: [{plugin: pii, phases: [later]}]}",
            "plugins.entries[0].phases[0]: 'later' is not allowed; expected 'pre_fetch',",
        ),
        ("model_tools: {ask: {}}", "model_tools.ask.model: is missing; expected a value"),
        (
            "model_tools: {ask: {model: 5}}",
            "model_tools.ask.model: is an integer; expected a string",
        ),
        ("servers: {dev: 1}", "servers.dev: is an integer; expected a mapping"),
        (
            "llm: {services: {mock: {upstream: {verify: true}}}}",
            "llm.services.mock.upstream.verify: unknown key, did you mean 'verify_cert'?",
        ),
        (
            "plugins: {entries: [{plugin: pii, prio: 1}]}",
            "plugins.entries[0].prio: unknown key, did you mean 'priority'?",
        ),
        (
            "plugins: {entries: [{plugin: 5}]}",
            "plugins.entries[0].plugin: is an integer; expected a string",
        ),
        (
            f"logging: {{main: {{console_level: {'x' * 100}}}}}",
            "logging.main.console_level: the value is not allowed; expected 'debug',",
        ),
        (
            "server: {allowed_origins: ['http://[']}",
            "server.allowed_origins[0]: 'http://[' is not an origin; expected http(s)://HOST",
        ),
    ],
)
def test_a_wrong_key_or_value_is_named_with_what_was_expected(text: str, fault: str) -> None:
    """One fault, at its path, with its line."""
    (found,) = faults(text)

    assert found.startswith(fault)
    assert found.endswith("(spindle.yaml, line 1)")
    assert "canary" not in found


def test_every_fault_of_a_configuration_is_told_at_once() -> None:
    """Syntax-level ones, single keys, modules' sections, references between parts."""
    found = faults(
        "server:\n  port: x\n  port: 8080\n  prot: 1\n"
        "llm:\n  temperatur: 1\n  services:\n"
        "    a: {urls: [x, 'http://ok', 5], models: [{name: m}]}\n"
        "servers:\n  dev: {gateways: [nowhere], models: [b~m, a~m]}\n"
        "other: {}\n",
        environ={"SPINDLE__USAGE__MAX_PENDING": "0"},
        schemas={"llm": {"additionalProperties": False, "properties": {"temperature": {}}}},
    )

    assert [fault.partition(":")[0] for fault in found] == [
        "server.port",
        "server.prot",
        "usage.max_pending",
        "llm.services.a.urls[0]",
        "llm.services.a.urls[2]",
        "other",
        "llm.temperatur",
        "servers.dev.gateways[0]",
        "servers.dev.models[0]",
    ]
    assert [fault.rpartition("(")[2] for fault in found][:4] == [
        "spindle.yaml, line 3)",
        "spindle.yaml, line 4)",
        "SPINDLE__USAGE__MAX_PENDING)",
        "spindle.yaml, line 8)",
    ]


def test_references_to_faulty_entries_are_no_further_faults() -> None:
    """A gateway that is misconfigured is still known by name."""
    found = faults("mcp: {gateways: {files: {url: 5}}}\nservers: {dev: {gateways: [files]}}")

    assert {fault.partition(":")[0] for fault in found} == {"mcp.gateways.files.url"}


@pytest.mark.parametrize(
    "text",
    [
        "llm: {services: {a: {urls: [], api_key: {canary: 1}}}}",
        "llm: {services: {a: {urls: [], api_key_env_var: 'sk-canary-0123456789'}}}",
        "llm: {services: {a: {urls: [], api_key: 5, models: [{name: Bearer canary-0123}]}}}",
        "store: {url: 'postgres://me:canary@db'}",
        "llm: {services: {a: {urls: ['canary://x']}}}",
    ],
)
def test_no_fault_shows_a_value_that_may_be_a_secret(text: str) -> None:
    """What stands where a secret belongs is described, never shown."""
    assert "canary" not in "\n".join(faults(text)).replace("a.api_key.canary", "")


def test_names_that_are_not_plain_are_quoted_in_paths() -> None:
    """A path can be read whatever the names in it."""
    found = faults("servers: {'a b.c': {}}")

    assert found[0].startswith("servers.\"a b.c\": 'a b.c' is not a name; expected lower-case")


def test_a_faulty_part_does_not_hide_the_good_ones() -> None:
    """A configuration without faults is whole."""
    assert load("server: {port: 1}").server.port == 1
