"""Catalog records of what the configuration declares."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from spindle.config import SecretSource, Settings, ToolOverride, load_settings
from spindle.config.model_tools import CHAT_INPUT, CHAT_OUTPUT
from spindle_spi.codec import encode
from spindle_spi.records import (
    CatalogRecord,
    GatewaySpec,
    Kind,
    ModelSpec,
    ProviderSpec,
    ServerSpec,
    ToolsetSpec,
    ToolSpec,
    Visibility,
)
from spindle_spi.secret import Secret, SecretRef
from tests.core.config.written import faults, load

REQUIREMENT = """
llm:
  default_service: "ollama"
  temperature: 0.7
  max_tokens: 4096
  services:
    ollama:
      api_format: "openai"
      urls: ["http://localhost:11434"]
      upstream:
        short_timeout_sec: 5
        long_timeout_sec: 180
        verify_cert: true
        enable_discovery: true

    openai:
      api_format: "openai"
      api_key_env_var: "OPENAI_API_KEY"
      urls: ["https://api.openai.com"]
      upstream:
        short_timeout_sec: 10
        long_timeout_sec: 300
        verify_cert: true
        enable_discovery: false

logging:
  main:
    console_level: "info"
    file_level: "debug"
    file: "logs/main.log"
    max_size_mb: 1000
    max_backups: 3
    max_age_days: 28
"""


def record(settings: Settings, kind: Kind, name: str) -> CatalogRecord:
    (found,) = (r for r in settings.declared if (r.kind, r.name) == (kind, name))
    return found


@pytest.mark.requirement("001-config-service")
def test_the_form_of_the_requirement_is_read_as_written() -> None:
    """Both services of its example, every parameter, and its logging section."""
    settings = load(REQUIREMENT)

    assert record(settings, Kind.PROVIDER, "ollama").spec == ProviderSpec(
        provider_type="ollama",
        api_format="openai",
        urls=("http://localhost:11434",),
        short_timeout=5.0,
        long_timeout=180.0,
        verify_cert=True,
        enable_discovery=True,
    )
    assert record(settings, Kind.PROVIDER, "openai").spec == ProviderSpec(
        provider_type="openai",
        api_format="openai",
        urls=("https://api.openai.com",),
        api_key=SecretRef(name="llm.services.openai.api_key"),
        api_key_env_var="OPENAI_API_KEY",
        short_timeout=10.0,
        long_timeout=300.0,
        verify_cert=True,
        enable_discovery=False,
    )
    assert settings.secret_sources == {
        "llm.services.openai.api_key": SecretSource(env_var="OPENAI_API_KEY")
    }
    assert settings.section("llm") == {
        "default_service": "ollama",
        "temperature": 0.7,
        "max_tokens": 4096,
    }
    assert settings.logging.main.file == "logs/main.log"


def test_a_model_is_named_by_its_provider_and_inherits_from_it() -> None:
    """Owner, team, visibility and being switched off, unless it says otherwise."""
    settings = load(
        "llm: {services: {a: {urls: ['http://x'], visibility: team, team: red, owner: o@x,\n"
        "  models: [{name: 'm~1:8b', aliases: [q], context_window: 10, max_output_tokens: 5,\n"
        "   input_price: 1, output_price: 2.5, cache_read_price: 0.1,\n"
        "   cache_write_price: 1.25, defaults: {stop: null}, fallbacks: [a~n],\n"
        "   description: d},\n"
        "  {name: n, visibility: public, supports: [embedding]}]}}}"
    )

    first = record(settings, Kind.MODEL, "a~m~1:8b")
    assert first.spec == ModelSpec(
        provider="a",
        upstream_name="m~1:8b",
        aliases=("q",),
        context_window=10,
        max_output_tokens=5,
        input_price=1.0,
        output_price=2.5,
        cache_read_price=0.1,
        cache_write_price=1.25,
        defaults={"stop": None},
        fallbacks=("a~n",),
    )
    assert (first.visibility, first.team, first.owner) == (Visibility.TEAM, "red", "o@x")
    assert (first.module, first.description) == ("llm", "d")
    second = record(settings, Kind.MODEL, "a~n")
    assert (second.visibility, second.team) == (Visibility.PUBLIC, "red")
    assert isinstance(second.spec, ModelSpec)
    assert second.spec.model_type == "embeddings"


def test_a_provider_that_is_off_takes_its_models_along() -> None:
    """A model cannot be on when what serves it is off."""
    settings = load("llm: {services: {mock: {enabled: false, models: [{name: m}]}}}")

    assert not any(r.enabled for r in settings.declared if r.module == "llm")


@pytest.mark.parametrize(
    ("entry", "adapter"),
    [
        ("mock: {}", "mock"),
        ("openai: {urls: ['http://x']}", "openai"),
        ("other: {urls: ['http://x']}", "openai"),
        ("other: {provider_type: mock}", "mock"),
        ("mock: {provider_type: openai, urls: ['http://x']}", "openai"),
    ],
)
def test_the_adapter_is_as_given_or_as_the_name_says(entry: str, adapter: str) -> None:
    """What no name tells speaks OpenAI's form."""
    spec = load(f"llm: {{services: {{{entry}}}}}").declared[0].spec

    assert isinstance(spec, ProviderSpec)
    assert spec.provider_type == adapter


def test_gateways_and_their_tools() -> None:
    """A gateway is a record; what is said of its tools is applied when they are discovered."""
    settings = load(
        "mcp: {gateways: {files: {url: 'http://f/mcp', era: legacy, timeout: 5, options: {a: 1},\n"
        "  credential_env_var: F, team: red, tools: {rm: {enabled: false}, ls: {visibility: team,\n"
        "  team: blue, owner: o@x}}}}}"
    )

    assert record(settings, Kind.GATEWAY, "files").spec == GatewaySpec(
        url="http://f/mcp",
        era="legacy",
        timeout=5.0,
        options={"a": 1},
        credential=SecretRef(name="mcp.gateways.files.credential"),
    )
    assert settings.tool_overrides == {
        ("files", "rm"): ToolOverride(enabled=False),
        ("files", "ls"): ToolOverride(visibility=Visibility.TEAM, team="blue", owner="o@x"),
    }


def test_an_override_changes_what_it_names_only() -> None:
    """None leaves what the gateway gives a tool."""
    tool = CatalogRecord(
        id="1", kind=Kind.TOOL, name="t", spec=ToolSpec(gateway="g"), team="red", owner="a@x"
    )

    assert ToolOverride().apply(tool) == tool
    changed = ToolOverride(
        visibility=Visibility.PUBLIC, team="blue", owner="b@x", enabled=False
    ).apply(tool)
    assert (changed.visibility, changed.team, changed.owner, changed.enabled) == (
        Visibility.PUBLIC,
        "blue",
        "b@x",
        False,
    )


def test_servers_and_models_as_tools() -> None:
    """Aliases become unified names; a server is called by its name, else by its slug."""
    settings = load(
        "llm: {services: {a: {urls: ['http://x'], models: [{name: m, aliases: [q]}]}}}\n"
        "model_tools: {ask: {model: q, team: red}, tell: {model: a~m, description: Tells.}}\n"
        "servers:\n"
        "  one: {gateways: [demo], tools: [ask], models: [q, a~z], resources: [r], prompts: [p],\n"
        "        prefix_free: true, anonymous: true, anonymous_permissions: [tools.read],\n"
        "        instructions: Be kind., description: d}\n"
        "  two: {name: The second, visibility: private, owner: o@x, enabled: false}\n"
    )

    ask = record(settings, Kind.TOOL, "ask")
    assert (ask.module, ask.team) == ("llm", "red")
    assert isinstance(ask.spec, ToolSpec)
    assert (ask.spec.model, ask.spec.gateway) == ("a~m", None)
    assert ask.spec.description == "Asks the model q."
    assert (ask.spec.input_schema, ask.spec.output_schema) == (CHAT_INPUT, CHAT_OUTPUT)
    assert record(settings, Kind.TOOL, "tell").description == "Tells."

    one = record(settings, Kind.SERVER, "one")
    assert one.module == ""
    assert one.spec == ServerSpec(
        slug="one",
        gateways=("demo",),
        tools=("ask",),
        models=("a~m", "a~z"),
        resources=("r",),
        prompts=("p",),
        prefix_free=True,
        anonymous=True,
        anonymous_permissions=("tools.read",),
        instructions="Be kind.",
    )
    two = record(settings, Kind.SERVER, "The second")
    assert isinstance(two.spec, ServerSpec)
    assert (two.spec.slug, two.enabled, two.owner) == ("two", False, "o@x")


def test_secret_files_start_at_the_file_that_names_them(tmp_path: Path) -> None:
    """Relative to the configuration file, else to the home; absolute ones are as given."""
    path = tmp_path / "spindle.yaml"
    path.write_text(
        "llm: {services: {mock: {api_key_file: keys/mock}}}\n"
        "mcp: {gateways: {f: {url: 'http://f', credential_file: /run/secrets/f}}}\n"
    )
    home = tmp_path / "home"

    assert load_settings(path, home=home, environ={}).secret_sources == {
        "llm.services.mock.api_key": SecretSource(file=tmp_path / "keys/mock"),
        "mcp.gateways.f.credential": SecretSource(file=Path("/run/secrets/f")),
    }
    environ = {"SPINDLE__LLM__SERVICES__MOCK__API_KEY_FILE": "key"}
    assert load_settings(None, home=home, environ=environ).secret_sources == {
        "llm.services.mock.api_key": SecretSource(file=home / "key")
    }


def test_a_key_in_the_file_is_in_no_rendering() -> None:
    """Not in the settings, their parts, the records, a section; only behind its reference."""
    settings = load(
        "llm: {default_service: mock, services: {mock: {api_key: canary-key, models: [{name: m}]}}}"
    )
    shown = [
        repr(settings),
        str(settings),
        repr(settings.section("llm")),
        repr([asdict(r) for r in settings.declared]),
        *(encode(r, CatalogRecord).decode() for r in settings.declared),
    ]

    assert "canary" not in "".join(shown)
    source = settings.secret_sources["llm.services.mock.api_key"]
    assert source.inline == Secret("canary-key")


def test_how_often_and_how_long_a_provider_is_asked_is_said_with_it() -> None:
    """Bounds of time, attempts and rate, the version of its API, the model that stands for it."""
    settings = load(
        "llm: {services: {a: {urls: ['http://x'], timeout: 30, max_retries: 2,\n"
        "  requests_per_minute: 60, tokens_per_minute: 9000, api_version: v7, default_model: m}}}"
    )
    assert record(settings, Kind.PROVIDER, "a").spec == ProviderSpec(
        provider_type="openai",
        urls=("http://x",),
        timeout=30.0,
        max_retries=2,
        requests_per_minute=60,
        tokens_per_minute=9000,
        api_version="v7",
        default_model="m",
    )


def test_toolsets_are_records_of_the_configuration() -> None:
    """A selection of tools by name, its own or an upstream's."""
    settings = load(
        "model_tools: {ask: {model: mock~echo}}\n"
        "toolsets: {both: {tools: [ask, demo__echo], visibility: team, team: red}}"
    )
    found = record(settings, Kind.TOOLSET, "both")
    assert found.spec == ToolsetSpec(tools=("ask", "demo__echo"))
    assert (found.visibility, found.team, found.origin) == (Visibility.TEAM, "red", "config")
    (fault,) = faults("toolsets: {some: {tools: [ask]}}")
    assert "toolsets.some.tools[0]: unknown tool 'ask'" in fault
