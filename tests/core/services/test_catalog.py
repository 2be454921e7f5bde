"""The catalog as a module sees it: hidden is absent in every operation, and scope is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest
from sqlalchemy import text

from spindle.services import catalog as catalog_service
from spindle_spi.catalog import CatalogService, ChangeKind
from spindle_spi.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
)
from spindle_spi.invocation import Invocation, close_iterator
from spindle_spi.policy import Action
from spindle_spi.records import (
    CatalogRecord,
    GatewaySpec,
    Kind,
    ModelSpec,
    PublishedRecord,
    Target,
    ToolSpec,
    Visibility,
)
from spindle_spi.secret import Secret, SecretRef
from tests.core.heart import Heart, Owner, open_heart
from tests.core.test_snapshot import tool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.services import Services

URL = "https://example.org/mcp"


@pytest.fixture
async def heart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Heart]:
    async def resolve(url: str) -> str:
        return "93.184.216.34"

    monkeypatch.setattr(catalog_service, "safe_address", resolve)

    async with open_heart(tmp_path) as heart:
        heart.core.owners["mcp"] = Owner(module_id="mcp")
        yield heart


@pytest.fixture
def services(heart: Heart) -> Services:
    return heart.core.services_for("mcp")


Ask = Callable[[CatalogService, "AuthenticatedContext", Target], Awaitable[object]]
OPERATIONS: dict[str, Ask] = {
    "fetch": lambda catalog, caller, target: catalog.fetch(caller, target),
    "admit": lambda catalog, caller, target: catalog.admit(caller, target, Action.EXECUTE),
    "invoke": lambda catalog, caller, target: catalog.invoke(caller, Invocation(target=target)),
}


@pytest.mark.parametrize("permissions", [("*",), ()])
@pytest.mark.parametrize("operation", [*OPERATIONS, "check"])
async def test_hidden_is_absent_in_every_operation(
    heart: Heart, services: Services, operation: str, permissions: tuple[str, ...]
) -> None:
    """By name, by alias and by id, through a server or not: the error differs in the name only."""
    hidden = heart.core.snapshots.current.by_name[Kind.MODEL, "up~blue"]
    red = await heart.caller("red", permissions=permissions)
    desk = heart.core.snapshots.current.by_name[Kind.SERVER, "desk"]
    scope = replace(red.visibility_scope, server_id=desk.id)

    for caller in (red, replace(red, visibility_scope=scope)):
        for name, by_id in (("up~blue", False), ("azure", False), (hidden.id, True)):
            said: list[object] = []

            for word in (name, "nothing"):
                target = Target(kind=Kind.MODEL, name=word, by_id=by_id)

                asked = (
                    services.auth.check_catalog_access(caller, target, Action.READ)
                    if operation == "check"
                    else OPERATIONS[operation](services.catalog, caller, target)
                )

                with pytest.raises(NotFound) as caught:
                    await asked

                error = caught.value
                said.append((error.code, error.message.replace(repr(word), "X"), error.origin))

            assert said[0] == said[1]


async def test_what_is_seen_and_not_permitted_is_denied(heart: Heart, services: Services) -> None:
    """With the permission's name; and the check says so without raising."""
    caller = await heart.caller("red", permissions=())
    target = Target(kind=Kind.MODEL, name="up~open")

    for ask in OPERATIONS.values():
        with pytest.raises(PermissionDenied):
            await ask(services.catalog, caller, target)

    with pytest.raises(PermissionDenied):
        await services.catalog.list(caller, Kind.MODEL)

    decision = await services.auth.check_catalog_access(caller, target, Action.EXECUTE)
    assert (decision.allowed, decision.reason) == (False, "lacks llm.invoke")
    assert (await services.auth.check_permission(await heart.caller("red"), "llm.read")).allowed


async def test_pages_are_the_list(heart: Heart, services: Services) -> None:
    """Every page size gives the same records in order, and hidden ones move no cursor."""
    heart.core.snapshots.publish("mcp", "gateway:demo", [tool(f"t{n:02}") for n in range(11)])
    caller = await heart.caller("red")
    whole = await services.catalog.list(caller, Kind.TOOL)
    assert whole.next_cursor is None
    assert whole.view_key == await services.catalog.view_key(caller, Kind.TOOL)

    for limit in range(1, 14):
        found: list[str] = []
        cursor: str | None = None

        while True:
            page = await services.catalog.list(caller, Kind.TOOL, cursor=cursor, limit=limit)
            assert 0 < len(page.records) <= limit
            found += [record.name for record in page.records]
            cursor = page.next_cursor

            if cursor is None:
                break

        assert found == [record.name for record in whole.records]


async def test_a_cursor_outlives_its_record(heart: Heart, services: Services) -> None:
    """What it points behind may be gone by then."""
    heart.core.snapshots.publish("mcp", "gateway:demo", [tool("a"), tool("b"), tool("c")])
    caller = await heart.caller("red")
    page = await services.catalog.list(caller, Kind.TOOL, limit=2)
    heart.core.snapshots.publish("mcp", "gateway:demo", [tool("b"), tool("c")])
    rest = await services.catalog.list(caller, Kind.TOOL, cursor=page.next_cursor)
    assert [record.name for record in rest.records] == ["demo__b", "demo__c"]


@pytest.mark.parametrize("cursor", ["x", "\udcff", "_w==", "é"])
async def test_a_cursor_of_somebody_else_is_refused(
    heart: Heart, services: Services, cursor: str
) -> None:
    """As are limits below one."""
    caller = await heart.caller("red")

    with pytest.raises(InvalidArgument):
        await services.catalog.list(caller, Kind.TOOL, cursor=cursor)

    for limit in (0, -1):
        with pytest.raises(InvalidArgument):
            await services.catalog.list(caller, Kind.TOOL, limit=limit)


async def test_a_module_has_what_is_its_own(heart: Heart, services: Services) -> None:
    """It can neither list nor publish in another's name; switched off is not there."""
    owned = await services.catalog.owned("mcp", Kind.GATEWAY)
    assert [record.name for record in owned] == ["demo"]
    assert await services.catalog.owned("mcp", Kind.PROVIDER) == ()

    with pytest.raises(InvalidArgument):
        await services.catalog.owned("llm", Kind.PROVIDER)

    with pytest.raises(InvalidArgument):
        await services.catalog.publish("llm", "provider:up", [])

    await heart.core.store.catalog.upsert(replace(owned[0], enabled=False))
    await heart.core.snapshots.refresh()
    assert await services.catalog.owned("mcp", Kind.GATEWAY) == ()


async def person(heart: Heart, name: str = "ann") -> AuthenticatedContext:
    return await heart.caller("red", user_email=f"{name}@example.org")


async def test_an_opened_gateway_goes_with_its_lease(heart: Heart, services: Services) -> None:
    """Its tools and the credential too; others never saw any of it."""
    ann, bob = await person(heart), await person(heart, "bob")
    changes = services.catalog.subscribe([Kind.GATEWAY, Kind.TOOL])
    record = await services.catalog.open_gateway(
        ann, GatewaySpec(url=URL), credential=Secret("a secret of the caller")
    )
    assert isinstance(record.spec, GatewaySpec)
    assert record.spec.options["address"] == "93.184.216.34"
    ref = record.spec.credential
    assert ref is not None
    assert (await services.config_secrets.secret(ref)).reveal() == "a secret of the caller"

    with pytest.raises(NotFound):
        await heart.core.services_for("llm").config_secrets.secret(ref)

    spec = ToolSpec(gateway=record.name, upstream_name="x")
    mine = PublishedRecord(kind=Kind.TOOL, name=f"{record.name}__x", spec=spec)
    await services.catalog.publish("mcp", f"gateway:{record.name}", [mine])
    target = Target(kind=Kind.TOOL, name=mine.name)
    assert (await services.catalog.admit(ann, target, Action.EXECUTE)).backend is not None

    with pytest.raises(NotFound):
        await services.catalog.fetch(bob, target)

    assert [(await anext(changes)).change for _ in range(2)] == [ChangeKind.ADDED] * 2
    await heart.core.leases.end(ann.trace.request_id)
    assert [(await anext(changes)).change for _ in range(2)] == [ChangeKind.REMOVED] * 2
    await close_iterator(changes)

    with pytest.raises(NotFound):
        await services.catalog.fetch(ann, target)

    with pytest.raises(NotFound):
        await services.config_secrets.secret(ref)

    with pytest.raises(InvalidArgument):
        await services.catalog.publish("mcp", f"gateway:{record.name}", [mine])

    assert heart.core.snapshots.count_ephemeral() == 0

    with pytest.raises(FailedPrecondition):
        heart.core.secrets.resolve(ref)


@pytest.mark.parametrize(
    "spec",
    [
        GatewaySpec(transport="stdio", command=("sh",)),
        GatewaySpec(transport="stdio", url=URL),
        GatewaySpec(transport="builtin", url=URL),
        GatewaySpec(url=URL, command=("sh",)),
        GatewaySpec(),
    ],
)
async def test_a_caller_opens_addresses_only(
    heart: Heart, services: Services, spec: GatewaySpec
) -> None:
    """Never a program."""
    with pytest.raises(InvalidArgument):
        await services.catalog.open_gateway(await person(heart), spec)


async def test_who_would_not_see_it_does_not_open_it(
    heart: Heart, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No person's token, no permission, no lease any more, nobody to serve it: nothing stays."""
    spec, secret = GatewaySpec(url=URL), Secret("something secret")
    held: list[str] = []
    hold = heart.core.secrets.hold

    def noting(name: str, secret: Secret) -> SecretRef:
        held.append(name)
        return hold(name, secret)

    monkeypatch.setattr(heart.core.secrets, "hold", noting)

    with pytest.raises(FailedPrecondition):
        await services.catalog.open_gateway(await heart.caller("red"), spec, credential=secret)

    with pytest.raises(PermissionDenied):
        await services.catalog.open_gateway(await heart.caller("red", role="viewer"), spec)

    with pytest.raises(NotFound):
        await services.catalog.open_gateway(
            await person(heart), spec, credential=secret, lease_id="lease_gone"
        )

    del heart.core.owners["mcp"]

    with pytest.raises(FailedPrecondition):
        await services.catalog.open_gateway(await person(heart), spec, credential=secret)

    assert heart.core.snapshots.count_ephemeral() == 0
    assert held == []


async def test_opened_gateways_are_bounded(
    heart: Heart, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many and no more; what ends makes room."""
    monkeypatch.setattr(catalog_service, "_MAX_EPHEMERAL", 2)
    ann, spec = await person(heart), GatewaySpec(url=URL)

    for _ in range(2):
        await services.catalog.open_gateway(ann, spec)

    with pytest.raises(RateLimited):
        await services.catalog.open_gateway(ann, spec)

    await heart.core.leases.end(ann.trace.request_id)
    await services.catalog.open_gateway(ann, spec)


async def test_leases_over_the_contract(heart: Heart, services: Services) -> None:
    """Opened, renewed, closed; closed twice is closed."""
    catalog = services.catalog
    caller = await heart.caller("red")
    lease = await catalog.open_lease(caller, 60)
    assert (await catalog.renew_lease(lease.id, 600)).expires_at > lease.expires_at
    target = Target(kind=Kind.TOOL, name="ask")
    permit = await catalog.admit(caller, target, Action.EXECUTE, lease_id=lease.id)
    assert permit.lease_id == lease.id

    async with anyio.create_task_group() as group:
        group.start_soon(catalog.close_lease, lease.id)
        group.start_soon(catalog.close_lease, lease.id)

    assert heart.core.admission.has_open() == 0

    with pytest.raises(NotFound):
        await catalog.renew_lease(lease.id, 60)


async def test_who_catches_up_sees_what_others_wrote(heart: Heart, services: Services) -> None:
    """At once, where others see it with the next poll."""
    core, caller = heart.core, await heart.caller("red")
    record = CatalogRecord(
        id="model:late",
        kind=Kind.MODEL,
        name="up~late",
        module="llm",
        spec=ModelSpec(provider="up", upstream_name="late"),
        visibility=Visibility.PUBLIC,
    )
    await core.store.catalog.upsert(record)
    before = await services.catalog.list(caller, Kind.MODEL)
    await services.catalog.catch_up()
    after = await services.catalog.list(caller, Kind.MODEL)
    assert record.name not in {found.name for found in before.records}
    assert record.name in {found.name for found in after.records}


async def test_without_a_store_nobody_can_catch_up(heart: Heart, services: Services) -> None:
    """What is listed then may be old, and who asked for more is told."""
    async with heart.core.store.database.writing() as connection:
        await connection.execute(text("DROP TABLE revision"))

    with pytest.raises(Unavailable):
        await services.catalog.catch_up()
