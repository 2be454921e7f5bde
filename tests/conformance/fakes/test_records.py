"""What modules publish and callers open: the fake host has it as the core has."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from spindle_spi.catalog import ChangeKind
from spindle_spi.errors import (
    Conflict,
    GatewayError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from spindle_spi.records import GatewaySpec, Kind, PublishedRecord, Target, ToolSpec
from spindle_spi.secret import Secret, SecretRef
from tests.conformance.fakes.sides import Side, refused
from tests.core.heart import Owner


def _tool(name: str, gateway: str = "demo") -> PublishedRecord:
    spec = ToolSpec(gateway=gateway, upstream_name=name)
    return PublishedRecord(kind=Kind.TOOL, name=f"{gateway}-{name}", spec=spec)


async def test_what_is_published_is_placed_under_its_source(side: Side) -> None:
    """It shows where its source shows, and is told to who subscribed; publishing replaces."""
    catalog, red = side.services("mcp").catalog, await side.caller("red")
    feed = catalog.subscribe([Kind.TOOL])
    await catalog.publish("mcp", "gateway:demo", [_tool("add"), _tool("old")])
    shown = await catalog.fetch(red, Target(kind=Kind.TOOL, name="demo-add"))
    assert (shown.origin, shown.module, shown.visibility) == ("gateway:demo", "mcp", "public")
    assert len(shown.server_ids) == 3

    with anyio.fail_after(5):
        said = [await anext(feed) for _ in range(2)]
        assert {(one.change, one.record.name) for one in said} == {
            (ChangeKind.ADDED, "demo-add"),
            (ChangeKind.ADDED, "demo-old"),
        }
        await catalog.publish("mcp", "gateway:demo", [_tool("add")])
        gone = await anext(feed)

    assert (gone.change, gone.record.name) == (ChangeKind.REMOVED, "demo-old")
    assert await catalog.fetch(red, Target(kind=Kind.TOOL, name="demo-add")) == shown


@pytest.mark.parametrize(
    ("module", "source", "record", "error"),
    [
        ("mcp", "gateway:nil", _tool("x", "nil"), InvalidArgument),
        ("mcp", "provider:up", _tool("x"), InvalidArgument),
        ("mcp", "what", _tool("x"), InvalidArgument),
        ("llm", "gateway:demo", _tool("x"), InvalidArgument),
        ("mcp", "gateway:demo", _tool("x", "other"), InvalidArgument),
        ("mcp", "gateway:demo", replace(_tool("x"), name=""), InvalidArgument),
        ("mcp", "gateway:demo", replace(_tool("x"), name="ask"), Conflict),
        ("mcp", "gateway:demo", replace(_tool("x"), kind=Kind.PROMPT), InvalidArgument),
    ],
)
async def test_what_speaks_for_somebody_else_is_not_published(
    side: Side, module: str, source: str, record: PublishedRecord, error: type[GatewayError]
) -> None:
    """Refused, everything stays as it was."""
    catalog, red = side.services("mcp").catalog, await side.caller("red")
    before = await catalog.view_key(red, Kind.TOOL)
    assert (await refused(catalog.publish(module, source, [record])))[0] is error
    assert await catalog.view_key(red, Kind.TOOL) == before


async def test_a_module_learns_of_its_own_records_alone(side: Side) -> None:
    """Another's are not its to ask for; neither are secrets its records do not refer to."""
    services = side.services()
    assert [one.name for one in await services.catalog.owned("llm", Kind.PROVIDER)] == ["up"]
    assert (await refused(services.catalog.owned("mcp", Kind.GATEWAY)))[0] is InvalidArgument
    unknown = services.config_secrets.secret(SecretRef(name="k"))
    assert (await refused(unknown))[:2] == (NotFound, "core.secret.not_found")
    section = await services.config_secrets.section()
    assert section == side.heart.core.settings.section("llm")
    assert await services.config_secrets.feature_enabled("shiny")
    assert not await services.config_secrets.feature_enabled("dull")


OWN = GatewaySpec(url="http://127.0.0.1:9/mcp")


async def test_a_gateway_of_the_callers_own_lives_as_long_as_its_lease(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen by its owner alone, with the credential they gave; gone, its credential too."""

    async def local(url: str) -> str:
        return url

    monkeypatch.setattr("spindle.services.catalog.safe_address", local)
    side.owners["mcp"] = Owner(module_id="mcp")
    services, ada = side.services("mcp"), await side.caller("red", email="ada@x")
    eve = await side.caller("red", email="eve@x")
    lease = await services.catalog.open_lease(ada, 60)
    opened = await services.catalog.open_gateway(
        ada, OWN, credential=Secret("s3cret"), lease_id=lease.id
    )
    target = Target(kind=Kind.GATEWAY, name=opened.id, by_id=True)
    assert (await services.catalog.fetch(ada, target)).owner == "ada@x"
    assert (await refused(services.catalog.fetch(eve, target)))[0] is NotFound
    assert isinstance(opened.spec, GatewaySpec)
    assert opened.spec.credential is not None
    secret = await services.config_secrets.secret(opened.spec.credential)
    assert secret.reveal() == "s3cret"
    await services.catalog.close_lease(lease.id)
    assert (await refused(services.catalog.fetch(ada, target)))[0] is NotFound
    forgotten = services.config_secrets.secret(opened.spec.credential)
    assert (await refused(forgotten))[0] is NotFound


async def test_a_gateway_a_caller_may_not_open_is_refused(side: Side) -> None:
    """Programs, callers without the permission, without a person, or with nobody to serve it."""
    catalog, ada = side.services("llm").catalog, await side.caller("red", email="ada@x")
    stdio = GatewaySpec(transport="stdio", command=("run", "me"))
    assert (await refused(catalog.open_gateway(ada, stdio)))[1] == "core.gateway.transport"
    assert (await refused(catalog.open_gateway(ada, OWN)))[1] == "core.owner.unavailable"
    reader = await side.caller("red", permissions=("gateways.read",))
    assert (await refused(catalog.open_gateway(reader, OWN)))[0] is PermissionDenied
