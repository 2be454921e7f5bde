"""What a record says by its spec alone: its backend, its other names, its secret, its servers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spindle_spi.records import (
    SPEC_OF,
    CatalogRecord,
    GatewaySpec,
    Kind,
    ModelSpec,
    PromptSpec,
    ProviderSpec,
    RecordSpec,
    ResourceSpec,
    ResourceTemplateSpec,
    ServerSpec,
    ToolsetSpec,
    ToolSpec,
    backend_name,
    is_shown_by,
    other_names,
    secret_of,
    with_toolsets,
)
from spindle_spi.secret import SecretRef
from tests.spi.derived import sample_of

SPECS: dict[Kind, RecordSpec] = {kind: sample_of(spec) for kind, spec in SPEC_OF.items()}
MODEL = ModelSpec(provider="p", upstream_name="m", aliases=("a", "b"))
SERVED: dict[Kind, RecordSpec] = {
    Kind.TOOL: ToolSpec(gateway="g"),
    Kind.RESOURCE: ResourceSpec(gateway="g", uri="x:y"),
    Kind.RESOURCE_TEMPLATE: ResourceTemplateSpec(gateway="g", uri_template="x:{y}"),
    Kind.PROMPT: PromptSpec(gateway="g", upstream_name="p"),
}


def record_of(kind: Kind, spec: RecordSpec) -> CatalogRecord:
    return CatalogRecord(id="1", kind=kind, name="n", spec=spec)


def test_a_model_is_served_by_its_provider_and_the_rest_by_a_gateway() -> None:
    """A tool of no gateway, and what serves others, is served by nothing."""
    assert backend_name(MODEL) == (Kind.PROVIDER, "p")
    assert {backend_name(spec) for spec in SERVED.values()} == {(Kind.GATEWAY, "g")}
    rest = [spec for kind, spec in SPECS.items() if kind not in SERVED and kind is not Kind.MODEL]
    assert {backend_name(spec) for spec in (*rest, ToolSpec())} == {None}


def test_models_and_servers_have_other_names() -> None:
    """Aliases, a slug and a prefix; nothing else has any."""
    assert other_names(MODEL) == ("a", "b")
    assert other_names(ServerSpec(slug="s")) == ("s",)
    assert other_names(GatewaySpec(prefix="p")) == ("p",)
    assert other_names(GatewaySpec()) == ()
    named = (Kind.MODEL, Kind.SERVER, Kind.GATEWAY)
    assert {other_names(spec) for kind, spec in SPECS.items() if kind not in named} == {()}


def test_providers_and_gateways_refer_to_secrets() -> None:
    """When they have one; nothing else does."""
    ref = SecretRef(name="k")
    assert secret_of(ProviderSpec(provider_type="openai", api_key=ref)) is ref
    assert secret_of(GatewaySpec(transport="stdio", credential=ref)) is ref
    assert secret_of(GatewaySpec(transport="stdio")) is None
    keyed = (Kind.PROVIDER, Kind.GATEWAY)
    assert {secret_of(spec) for kind, spec in SPECS.items() if kind not in keyed} == {None}


@pytest.mark.parametrize("kind", SERVED)
def test_a_server_shows_what_it_names_and_what_is_of_its_gateways(kind: Kind) -> None:
    """A name counts for its own kind only; resources and templates are one."""
    record = record_of(kind, SERVED[kind])
    by_name = {
        "tools": ServerSpec(slug="s", tools=("n",)),
        "models": ServerSpec(slug="s", models=("n",)),
        "resources": ServerSpec(slug="s", resources=("n",)),
        "prompts": ServerSpec(slug="s", prompts=("n",)),
    }
    shown = {family for family, server in by_name.items() if is_shown_by(server, record)}
    assert shown == {{Kind.RESOURCE_TEMPLATE: "resources"}.get(kind, f"{kind.value}s")}
    assert is_shown_by(ServerSpec(slug="s", gateways=("g",)), record)
    assert not is_shown_by(ServerSpec(slug="s", gateways=("h",)), record)


def test_a_server_shows_models_by_name_alone_and_no_servers() -> None:
    """A provider is nothing a server names."""
    server = ServerSpec(slug="s", tools=("n",), models=("n",), gateways=("n", "p"))
    assert is_shown_by(server, record_of(Kind.MODEL, MODEL))
    assert not is_shown_by(ServerSpec(slug="s", gateways=("p",)), record_of(Kind.MODEL, MODEL))
    assert not is_shown_by(server, record_of(Kind.SERVER, server))


def test_a_server_has_the_tools_of_its_toolsets() -> None:
    """In their order and once each; what is gone or switched off adds nothing."""
    plain = ServerSpec(slug="desk", tools=("a",))
    assert with_toolsets(plain, {}) is plain
    toolsets = {
        "day": toolset("day", "a", "b"),
        "off": replace(toolset("off", "c"), enabled=False),
        "odd": CatalogRecord(id="odd", kind=Kind.SERVER, name="odd", spec=plain),
    }
    server = replace(plain, toolsets=("day", "off", "odd", "gone"))
    assert with_toolsets(server, toolsets) == replace(server, tools=("a", "b"))


def toolset(name: str, *tools: str) -> CatalogRecord:
    return CatalogRecord(id=name, kind=Kind.TOOLSET, name=name, spec=ToolsetSpec(tools=tools))
