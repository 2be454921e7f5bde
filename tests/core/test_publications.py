"""Publication: nothing outlives its source, nobody speaks for another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict, Unpack

import pytest

from spindle_spi.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from spindle_spi.policy import Action
from spindle_spi.records import (
    CatalogRecord,
    GatewaySpec,
    Kind,
    ModelSpec,
    ProviderSpec,
    PublishedRecord,
    ServerSpec,
    Target,
    ToolSpec,
    Visibility,
)
from spindle_spi.secret import SecretRef
from tests.core.heart import CONFIGURATION, Heart, open_heart
from tests.core.test_snapshot import tool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle.snapshots import Snapshots

ECHO = (Kind.TOOL, "demo__echo")
DEMO = (Kind.GATEWAY, "demo")


@pytest.fixture
async def heart(tmp_path: Path) -> AsyncGenerator[Heart]:
    async with open_heart(tmp_path) as heart:
        yield heart


class Changes(TypedDict, total=False):
    visibility: Visibility
    team: str
    enabled: bool


async def change_gateway(heart: Heart, **changes: Unpack[Changes]) -> None:
    gateway = heart.core.snapshots.current.by_name[DEMO]
    await heart.core.store.catalog.upsert(replace(gateway, **changes))
    await heart.core.snapshots.refresh()


async def test_what_a_source_loses_its_tools_lose(heart: Heart) -> None:
    """A gateway made private, or switched off, takes its tools along without a new discovery."""
    snapshots = heart.core.snapshots
    snapshots.publish("mcp", "gateway:demo", [tool("echo")])
    blue = await heart.caller("blue")
    target = Target(kind=Kind.TOOL, name="demo__echo")
    before = snapshots.current.see(blue, target)
    assert before is not None
    await change_gateway(heart, visibility=Visibility.TEAM, team="red")
    assert snapshots.current.see(blue, target) is None
    seen = snapshots.current.see(await heart.caller("red"), target)
    assert seen is not None
    assert seen.epoch > before.epoch
    await change_gateway(heart, visibility=Visibility.PUBLIC, enabled=False)
    assert snapshots.current.see(blue, target) is None
    await change_gateway(heart, enabled=True)
    assert snapshots.current.see(blue, target) is not None


async def test_what_a_removed_source_published_is_gone(heart: Heart) -> None:
    """And stays gone until somebody discovers it again."""
    snapshots = heart.core.snapshots
    snapshots.publish("mcp", "gateway:demo", [tool("echo")])
    gateway = snapshots.current.by_name[DEMO]
    await heart.core.store.catalog.delete(*DEMO)
    await snapshots.refresh()
    assert ECHO not in snapshots.current.by_name
    await heart.core.store.catalog.upsert(gateway)
    await snapshots.refresh()
    assert ECHO not in snapshots.current.by_name


async def test_an_epoch_never_comes_back(heart: Heart) -> None:
    """Gone and back with another text is another record to every cache."""
    snapshots = heart.core.snapshots
    caller = await heart.caller("red")
    keys: set[str] = set()

    for text in ("one", "two", "three"):
        snapshots.publish("mcp", "gateway:demo", [tool("echo", text)])
        keys.add(heart.core.identity.view_key(caller, Kind.TOOL))
        snapshots.publish("mcp", "gateway:demo", [])

    assert len(keys) == 3


async def test_a_refused_publication_changes_nothing(heart: Heart) -> None:
    """Conflict in the last record: the first is not there either, and nobody is told."""
    snapshots = heart.core.snapshots
    snapshots.publish("mcp", "gateway:demo", [tool("echo")])
    before = snapshots.current

    with pytest.raises(Conflict):
        snapshots.publish("mcp", "gateway:demo", [tool("add"), replace(tool("x"), name="ask")])

    assert snapshots.current is before
    snapshots.publish("mcp", "gateway:demo", [tool("echo")])
    assert snapshots.current.by_name[ECHO] == before.by_name[ECHO]


async def test_one_name_is_given_once(heart: Heart) -> None:
    """Saying the same thing twice is harmless; saying two things is refused."""
    snapshots = heart.core.snapshots
    snapshots.publish("mcp", "gateway:demo", [tool("echo"), tool("echo")])
    names = [record.name for record in snapshots.current.by_kind[Kind.TOOL]]
    assert names.count("demo__echo") == 1

    with pytest.raises(InvalidArgument):
        snapshots.publish("mcp", "gateway:demo", [tool("echo"), tool("echo", "other")])


async def test_people_stand_before_discovery(heart: Heart) -> None:
    """A record made under a discovered name hides it, and does not stop the next discovery."""
    snapshots = heart.core.snapshots
    snapshots.publish("mcp", "gateway:demo", [tool("echo")])
    made = CatalogRecord(id="made", kind=Kind.TOOL, name="demo__echo", spec=tool("echo").spec)
    await heart.core.store.catalog.upsert(made)
    await snapshots.refresh()
    assert snapshots.current.by_name[ECHO].origin == "api"
    snapshots.publish("mcp", "gateway:demo", [tool("echo", "new"), tool("add")])
    assert snapshots.current.by_name[ECHO].origin == "api"
    assert (Kind.TOOL, "demo__add") in snapshots.current.by_name
    await heart.core.store.catalog.delete(*ECHO)
    await snapshots.refresh()
    assert snapshots.current.by_name[ECHO].description == "new"


def _model(provider: str) -> PublishedRecord:
    spec = ModelSpec(provider=provider, upstream_name="m")
    return PublishedRecord(kind=Kind.MODEL, name="m", spec=spec)


REF = SecretRef(name="llm.up")


@pytest.mark.parametrize(
    ("module", "source", "record"),
    [
        ("llm", "provider:up", replace(tool("echo"), name="mine")),
        ("llm", "llm", replace(tool("echo"), name="mine")),
        ("llm", "llm", _model("nobody")),
        ("mcp", "mcp", _model("up")),
        (
            "mcp",
            "mcp",
            PublishedRecord(kind=Kind.GATEWAY, name="g", spec=GatewaySpec(credential=REF)),
        ),
        (
            "mcp",
            "mcp",
            PublishedRecord(
                kind=Kind.PROVIDER, name="p", spec=ProviderSpec(provider_type="x", api_key=REF)
            ),
        ),
        (
            "mcp",
            "gateway:demo",
            PublishedRecord(kind=Kind.SERVER, name="s", spec=ServerSpec(slug="s", anonymous=True)),
        ),
        ("mcp", "gateway:demo", replace(tool("echo"), kind=Kind.PROMPT)),
        ("mcp", "gateway:demo", replace(tool("echo"), name="")),
        ("mcp", "gateway:demo", replace(tool("echo"), name="x" * 2000)),
        ("mcp", "gateway:demo", replace(tool("echo"), name="\udcff")),
        ("mcp", "server:desk", tool("echo")),
    ],
)
async def test_nobody_publishes_for_another(
    heart: Heart, module: str, source: str, record: PublishedRecord
) -> None:
    """Not under another's backend, not with a secret, not what only people may make."""
    with pytest.raises(InvalidArgument):
        heart.core.snapshots.publish(module, source, [record])


async def test_no_secret_of_another_by_publishing_its_reference(heart: Heart) -> None:
    """Neither before nor after the attempt."""
    services = heart.core.services_for("mcp")
    spec = GatewaySpec(credential=REF)

    with pytest.raises(InvalidArgument):
        await services.catalog.publish(
            "mcp", "mcp", [PublishedRecord(kind=Kind.GATEWAY, name="g", spec=spec)]
        )

    with pytest.raises(NotFound):
        await services.config_secrets.secret(REF)


async def test_a_module_alone_publishes_privately(heart: Heart) -> None:
    """Only an unscoped administrator sees it; a provider of its own may have models."""
    snapshots = heart.core.snapshots
    local = PublishedRecord(
        kind=Kind.PROVIDER, name="local", spec=ProviderSpec(provider_type="ollama")
    )
    snapshots.publish("llm", "llm", [local])
    snapshots.publish("llm", "provider:local", [_model("local")])
    admin = await heart.caller(admin=True, role="platform_admin")
    target = Target(kind=Kind.MODEL, name="m")
    assert snapshots.current.see(admin, target) is not None
    assert snapshots.current.see(await heart.caller("red"), target) is None
    snapshots.publish("llm", "llm", [])
    assert snapshots.current.see(admin, target) is None


async def test_too_much_is_refused(heart: Heart, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source may publish so many records and no more."""
    monkeypatch.setattr("spindle.publications._MAX_RECORDS", 1)

    with pytest.raises(InvalidArgument):
        heart.core.snapshots.publish("mcp", "gateway:demo", [tool("a"), tool("b")])


OVERRIDES = """
    files:
      transport: builtin
      tools:
        wipe: {visibility: team, team: red}
        gone: {enabled: false}
        kept: {enabled: true}
"""


def _files(name: str) -> PublishedRecord:
    spec = ToolSpec(gateway="files", upstream_name=name)
    return PublishedRecord(kind=Kind.TOOL, name=f"files__{name}", spec=spec)


def _names(snapshots: Snapshots) -> dict[str, CatalogRecord]:
    return {record.name: record for record in snapshots.current.by_kind[Kind.TOOL]}


async def test_the_operators_word_on_a_tool_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overrides apply at every publication; what is switched off takes all its tools along."""
    gateways = "    demo: {transport: builtin}\n"
    monkeypatch.setattr(
        "tests.core.heart.CONFIGURATION",
        CONFIGURATION.replace(gateways, gateways + OVERRIDES.removeprefix("\n")),
    )

    async with open_heart(tmp_path) as heart:
        snapshots = heart.core.snapshots

        for _ in range(2):
            snapshots.publish("mcp", "gateway:files", [_files(n) for n in ("wipe", "gone", "kept")])
            shown = _names(snapshots)
            assert (shown["files__wipe"].visibility, shown["files__wipe"].team) == (
                Visibility.TEAM,
                "red",
            )
            assert not shown["files__gone"].enabled
            assert shown["files__kept"].enabled

        gateway = snapshots.current.by_name[Kind.GATEWAY, "files"]
        await heart.core.store.catalog.upsert(replace(gateway, enabled=False))
        await snapshots.refresh()
        assert not _names(snapshots)["files__kept"].enabled


async def test_a_tool_without_its_gateway_serves_nothing(heart: Heart) -> None:
    """A stored tool whose gateway is gone is there and says so."""
    spec = ToolSpec(gateway="gone", upstream_name="x")
    made = CatalogRecord(
        id="made", kind=Kind.TOOL, name="x", spec=spec, visibility=Visibility.PUBLIC
    )
    await heart.core.store.catalog.upsert(made)
    caller = await heart.caller("red")

    with pytest.raises(FailedPrecondition):
        heart.core.admission.admit(caller, Target(kind=Kind.TOOL, name="x"), Action.EXECUTE)
