"""What stands when nothing is configured, and what each environment changes."""

from __future__ import annotations

from spindle.config import load_settings, record_id
from spindle_spi.records import GatewaySpec, Kind, ProviderSpec, Visibility
from tests.core.config.written import HOME, load


def test_nothing_configured_is_a_working_gateway() -> None:
    """SQLite in the home, local names only, a mock provider and a demo gateway for everybody."""
    settings = load()

    assert settings.home == HOME
    assert settings.path is None
    assert settings.environment == "development"
    assert settings.store_url == f"sqlite+aiosqlite:///{HOME}/spindle.db"
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.server.allowed_hosts == ("localhost", "127.0.0.1", "[::1]")
    assert settings.modules.enabled is None
    assert settings.plugins.entries == ()
    assert settings.warnings == ()
    assert settings.section("llm") == settings.section("mcp") == {}

    provider, gateway = settings.declared
    assert (provider.kind, provider.name, provider.module) == (Kind.PROVIDER, "mock", "llm")
    assert isinstance(provider.spec, ProviderSpec)
    assert provider.spec.provider_type == "mock"
    assert (gateway.kind, gateway.name, gateway.module) == (Kind.GATEWAY, "demo", "mcp")
    assert isinstance(gateway.spec, GatewaySpec)
    assert gateway.spec.transport == "builtin"
    assert {record.visibility for record in settings.declared} == {Visibility.PUBLIC}
    assert {record.origin for record in settings.declared} == {"config"}


def test_in_production_nobody_meets_what_nobody_asked_for() -> None:
    """The built-in records are private there; what the operator declares is not."""
    built_in = load("environment: production")
    asked_for = load("environment: production\nllm: {services: {mock: }}")

    assert {record.visibility for record in built_in.declared} == {Visibility.PRIVATE}
    assert asked_for.declared[0].visibility is Visibility.PUBLIC


def test_content_nobody_handles_is_refused_in_production_by_default() -> None:
    """Fail closed there, and only there; the file may say otherwise."""
    assert load().plugins.unhandled == "allow"
    assert load("environment: production").plugins.unhandled == "deny"
    assert load("environment: production\nplugins: {unhandled: allow}").plugins.unhandled == "allow"
    assert load(environ={"SPINDLE__ENVIRONMENT": "production"}).plugins.unhandled == "deny"


def test_a_given_section_replaces_the_built_in_record() -> None:
    """The mock exists when the section is absent or names it; so does the demo gateway."""
    settings = load("llm: {services: {}}\nmcp: {gateways: {demo: {transport: builtin}}}")

    assert [record.name for record in settings.declared] == ["demo"]


def test_a_section_without_content_is_no_section() -> None:
    """All keys of a section commented out means defaults, everywhere."""
    text = "server:\nlogging:\n  main:\nllm:\n  services:\nplugins:\nservers:\nstore: {url: }\n"

    assert load(text).declared == load().declared
    assert load(text).server == load().server
    assert load("").declared == load().declared


def test_the_host_it_binds_to_is_an_allowed_host() -> None:
    """Local names stay allowed; an IPv6 address is written as in a URL."""
    assert load("server: {host: gateway.example}").server.allowed_hosts[-1] == "gateway.example"
    assert load("server: {host: 'fd00::1'}").server.allowed_hosts[-1] == "[fd00::1]"


def test_a_bind_to_every_address_warns_of_unknown_hosts() -> None:
    """Otherwise the first request from another machine is a riddle."""
    (warning,) = load("server: {host: 0.0.0.0}").warnings
    assert warning.startswith("server.allowed_hosts: other machines are refused")

    assert load("server: {host: 0.0.0.0, allowed_hosts: [gateway.example]}").warnings == ()


def test_a_relative_sqlite_file_is_in_the_home() -> None:
    """An absolute one is where it says; another engine's URL is passed on."""
    assert load("store: {url: 'sqlite+aiosqlite:///x/y.db'}").store_url == (
        f"sqlite+aiosqlite:///{HOME}/x/y.db"
    )
    assert load("store: {url: 'sqlite+aiosqlite:////srv/y.db'}").store_url == (
        "sqlite+aiosqlite:////srv/y.db"
    )
    url = "postgresql+asyncpg://me:canary@db/spindle"
    settings = load(f"store: {{url: '{url}'}}")
    assert settings.store_url == url
    assert "canary" not in repr(settings)


def test_settings_need_no_optional_arguments() -> None:
    """The shortest call works."""
    assert load_settings(None, home=HOME, environ={}).home == HOME


def test_ids_of_declared_records_never_change() -> None:
    """A token bound to a server stays bound over restarts; this id is a promise."""
    assert record_id(Kind.PROVIDER, "mock") == load().declared[0].id
    assert record_id(Kind.PROVIDER, "mock") == "40053671-607a-5c6c-a69a-f0ba8a7b30f9"
    assert record_id(Kind.PROVIDER, "mock") != record_id(Kind.GATEWAY, "mock")
