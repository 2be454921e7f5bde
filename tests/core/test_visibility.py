"""The two-layer rule over whole snapshots, for callers and catalogs nobody thought of."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from spindle.snapshot import Snapshot, compile_snapshot
from spindle_spi.context import AuthenticatedContext, Subject, TraceContext, VisibilityScope
from spindle_spi.policy import visible
from spindle_spi.records import (
    CatalogRecord,
    Kind,
    ModelSpec,
    RecordSpec,
    ServerSpec,
    Target,
    ToolSpec,
    Visibility,
)

WORDS = st.sampled_from(["a", "b", "c", "d"])
TEAMS = st.sampled_from(["red", "blue"])
PEOPLE = st.sampled_from(["x@example.org", "y@example.org"])
SOME = st.lists(WORDS, max_size=2, unique=True).map(tuple)


def model(aliases: tuple[str, ...]) -> tuple[Kind, RecordSpec]:
    return Kind.MODEL, ModelSpec(provider="p", upstream_name="m", aliases=aliases)


def tool(gateway: str) -> tuple[Kind, RecordSpec]:
    return Kind.TOOL, ToolSpec(gateway=gateway, upstream_name="t")


def server(
    slug: str, gateways: tuple[str, ...], models: tuple[str, ...], tools: tuple[str, ...]
) -> tuple[Kind, RecordSpec]:
    return Kind.SERVER, ServerSpec(slug=slug, gateways=gateways, models=models, tools=tools)


SPECS = st.one_of(
    st.builds(model, SOME), st.builds(tool, WORDS), st.builds(server, WORDS, SOME, SOME, SOME)
)


@st.composite
def catalogs(draw: st.DrawFn) -> list[CatalogRecord]:
    """Records of unique kind and name, with aliases that get in each other's way."""
    records: dict[tuple[Kind, str], CatalogRecord] = {}

    for number, (kind, spec) in enumerate(draw(st.lists(SPECS, max_size=12))):
        name = draw(WORDS)
        records[kind, name] = CatalogRecord(
            id=f"id{number}",
            kind=kind,
            name=name,
            spec=spec,
            owner=draw(st.none() | PEOPLE),
            team=draw(st.none() | TEAMS),
            visibility=draw(st.sampled_from(Visibility)),
            enabled=draw(st.booleans()),
        )

    return list(records.values())


@st.composite
def callers(draw: st.DrawFn) -> AuthenticatedContext:
    """Any caller, through any server or none."""
    return AuthenticatedContext(
        subject=Subject(
            user_email=draw(st.none() | PEOPLE),
            is_admin=draw(st.booleans()),
            token_teams=draw(st.none() | st.lists(TEAMS, max_size=2, unique=True).map(tuple)),
        ),
        visibility_scope=VisibilityScope(
            server_id=draw(st.none() | st.integers(0, 12).map(lambda number: f"id{number}"))
        ),
        trace=TraceContext(request_id="r"),
    )


def targets() -> list[Target]:
    by_name = [Target(kind=kind, name=name) for kind in Kind for name in "abcd"]
    return by_name + [
        Target(kind=kind, name=f"id{number}", by_id=True) for kind in Kind for number in range(12)
    ]


def compiled(records: list[CatalogRecord]) -> Snapshot:
    return compile_snapshot(1, records, ())


@given(catalogs(), callers())
def test_list_and_look_up_agree(records: list[CatalogRecord], caller: AuthenticatedContext) -> None:
    """What is listed is found by name and id; what is found is listed."""
    snapshot = compiled(records)
    view = snapshot.view(caller)

    for kind in Kind:
        for record in view.records[kind]:
            assert visible(caller, record)
            assert snapshot.see(caller, Target(kind=kind, name=record.name)) is record
            assert snapshot.see(caller, Target(kind=kind, name=record.id, by_id=True)) is record

    for target in targets():
        found = snapshot.see(caller, target)
        assert found is None or found in view.records[target.kind]


@given(catalogs(), callers())
def test_without_what_is_hidden_everything_is_the_same(
    records: list[CatalogRecord], caller: AuthenticatedContext
) -> None:
    """A catalog that lacks what a caller cannot see answers that caller alike, key and all."""
    snapshot = compiled(records)
    shown = {record.id for seen in snapshot.view(caller).records.values() for record in seen}
    # Servers stay: what one of them holds is a matter of the record, not of who sees the server.
    kept = [r for r in records if r.id in shown or r.kind is Kind.SERVER]
    poorer = compiled(kept)
    hidden = [r for r in records if r.id not in shown and r.kind is Kind.SERVER]

    for target in targets():
        assert snapshot.see(caller, target) == poorer.see(caller, target)

    assert snapshot.view(caller).key == poorer.view(caller).key

    if caller.visibility_scope.server_id is None:
        alone = compiled([record for record in kept if record not in hidden])
        assert snapshot.view(caller).key == alone.view(caller).key


@given(catalogs(), callers())
def test_a_server_never_shows_more(
    records: list[CatalogRecord], caller: AuthenticatedContext
) -> None:
    """Through any server a caller sees a part of what they see without."""
    snapshot = compiled(records)
    wide = replace(caller, visibility_scope=VisibilityScope())

    for kind in Kind:
        assert set(map(_id, snapshot.view(caller).records[kind])) <= set(
            map(_id, snapshot.view(wide).records[kind])
        )


@given(catalogs(), callers(), callers())
def test_keys_tell_lists_apart(
    records: list[CatalogRecord], one: AuthenticatedContext, other: AuthenticatedContext
) -> None:
    """Two callers' keys of a kind are equal exactly when their lists are."""
    snapshot = compiled(records)
    first, second = snapshot.view(one), snapshot.view(other)

    for kind in Kind:
        assert (first.keys[kind] == second.keys[kind]) == (
            first.records[kind] == second.records[kind]
        )

    assert (first.key == second.key) == (first.records == second.records)


def _id(record: CatalogRecord) -> str:
    return record.id
