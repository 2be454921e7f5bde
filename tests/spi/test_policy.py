"""The two layers of access: what a caller sees, what a caller may do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_spi.context import (
    AuthenticatedContext,
    Subject,
    TeamGrant,
    TimeWindow,
    TraceContext,
    VisibilityScope,
)
from spindle_spi.errors import FailedPrecondition, PermissionDenied
from spindle_spi.policy import (
    ROLES,
    Action,
    absent,
    allow,
    fetch_permission,
    granted,
    holds,
    holds_in,
    is_same_caller,
    narrow,
    narrow_grants,
    permission_for,
    permitted,
    restrictions_hold,
    session_owner,
    usable_backend,
    visible,
)
from spindle_spi.records import CatalogRecord, Kind, Target, ToolSpec, Visibility
from tests.spi.derived import bounded

ME, OTHER = "me@example.org", "other@example.org"
PERMISSIONS = ("tools.read", "tools.execute", "llm.invoke", "admin.users")
GRANTS = (*PERMISSIONS, "tools.*", "llm.*", "admin.*", "*", "*.*", "tools")
TEAMS = st.one_of(st.none(), st.lists(st.sampled_from("abc"), unique=True).map(tuple))

grants = st.lists(st.sampled_from(GRANTS), max_size=4).map(tuple)
team_grants = st.dictionaries(st.sampled_from("abc"), grants, max_size=3).map(
    lambda held: tuple(TeamGrant(team=team, permissions=held[team]) for team in held)
)
subjects = st.builds(
    Subject,
    user_email=st.sampled_from([None, ME, OTHER]),
    is_admin=st.booleans(),
    token_teams=TEAMS,
)
records = st.builds(
    CatalogRecord,
    id=st.sampled_from(["1", "2", "server"]),
    kind=st.just(Kind.TOOL),
    name=st.just("tool"),
    spec=st.just(ToolSpec()),
    owner=st.sampled_from([None, ME, OTHER]),
    team=st.sampled_from([None, "a", "b"]),
    visibility=st.sampled_from(Visibility),
    enabled=st.booleans(),
    server_ids=st.lists(st.sampled_from(["server", "elsewhere"])).map(tuple),
)


def context_of(
    subject: Subject, permissions: tuple[str, ...] = (), server_id: str | None = None
) -> AuthenticatedContext:
    return AuthenticatedContext(
        subject=subject,
        visibility_scope=VisibilityScope(permissions=permissions, server_id=server_id),
        trace=TraceContext(request_id="r"),
    )


def record_of(
    visibility: Visibility, *, owner: str | None = None, team: str | None = None
) -> CatalogRecord:
    return CatalogRecord(
        id="1",
        kind=Kind.TOOL,
        name="tool",
        spec=ToolSpec(),
        visibility=visibility,
        owner=owner,
        team=team,
    )


PUBLIC = record_of(Visibility.PUBLIC, owner=OTHER, team="z")
TEAM_A = record_of(Visibility.TEAM, owner=OTHER, team="a")
TEAM_Z = record_of(Visibility.TEAM, owner=ME, team="z")
TEAMLESS = record_of(Visibility.TEAM, owner=ME)
OWN = record_of(Visibility.PRIVATE, owner=ME)
FOREIGN = record_of(Visibility.PRIVATE, owner=OTHER, team="a")
OWNERLESS = record_of(Visibility.PRIVATE)
EVERY = [PUBLIC, TEAM_A, TEAM_Z, TEAMLESS, OWN, FOREIGN, OWNERLESS]


@pytest.mark.parametrize(
    ("subject", "seen"),
    [
        (Subject(user_email=ME, is_admin=True, token_teams=None), EVERY),
        (Subject(user_email=ME, is_admin=True, token_teams=()), [PUBLIC]),
        (Subject(user_email=ME, is_admin=True, token_teams=("a",)), [PUBLIC, TEAM_A, OWN]),
        (Subject(user_email=ME, token_teams=None), [PUBLIC]),
        (Subject(user_email=ME, token_teams=()), [PUBLIC]),
        (Subject(user_email=ME), [PUBLIC]),
        (Subject(user_email=ME, token_teams=("a",)), [PUBLIC, TEAM_A, OWN]),
        (Subject(user_email=ME, token_teams=("a", "z")), [PUBLIC, TEAM_A, TEAM_Z, OWN]),
        (Subject(user_email=None, token_teams=("a",)), [PUBLIC, TEAM_A]),
        (Subject(), [PUBLIC]),
    ],
)
def test_the_table_of_token_scoping_holds_row_by_row(
    subject: Subject, seen: list[CatalogRecord]
) -> None:
    """Everything takes an administrator and teams explicitly null; no teams mean public only."""
    assert [record for record in EVERY if visible(context_of(subject), record)] == seen


@given(subject=subjects, record=records)
@bounded
def test_only_both_conditions_together_open_everything(
    subject: Subject, record: CatalogRecord
) -> None:
    """An administrator with teams, or null teams without an administrator, see no more for it."""
    seen = visible(context_of(subject), record)

    if subject.is_admin and subject.token_teams is None:
        assert seen == record.enabled
    else:
        assert seen == visible(context_of(replace(subject, is_admin=False)), record)


@given(subject=subjects, record=records, team=st.sampled_from("abc"))
@bounded
def test_taking_teams_away_never_shows_more(
    subject: Subject, record: CatalogRecord, team: str
) -> None:
    """Whatever the caller, fewer teams see a subset."""
    teams = subject.token_teams or ()
    fewer = replace(subject, token_teams=tuple(entry for entry in teams if entry != team))

    if visible(context_of(fewer), record):
        assert visible(context_of(subject), record)


@given(subject=subjects, record=records)
@bounded
def test_a_server_scope_only_narrows(subject: Subject, record: CatalogRecord) -> None:
    """Through a virtual server the caller sees what it shows, and only what they see anyway."""
    is_part = record.id == "server" or "server" in record.server_ids
    through_server = visible(context_of(subject, server_id="server"), record)
    assert through_server == (is_part and visible(context_of(subject), record))


@given(subject=subjects, record=records)
@bounded
def test_what_is_switched_off_is_absent_for_everybody(
    subject: Subject, record: CatalogRecord
) -> None:
    """Administrators too: they manage records, they do not call them."""
    assert not visible(context_of(subject), replace(record, enabled=False))


@given(subject=subjects, record=records, permissions=grants)
@bounded
def test_both_layers_must_pass(
    subject: Subject, record: CatalogRecord, permissions: tuple[str, ...]
) -> None:
    """Permission without sight is nothing, and so is sight without permission."""
    context = context_of(subject, permissions)
    may = granted(permissions, "tools.execute")
    assert permitted(context, "tools.execute", record) == (may and visible(context, record))
    assert permitted(context, "tools.execute") == may


@pytest.mark.parametrize(
    ("grant", "permission", "covers"),
    [
        ("tools.read", "tools.read", True),
        ("tools.read", "tools.execute", False),
        ("tools.*", "tools.execute", True),
        ("tools.*", "toolsets.read", False),
        ("tools.*", "tools", False),
        ("tools", "tools.read", False),
        ("*", "anything.at_all", True),
        ("*", "*", True),
        ("*.*", "*", False),
        ("*.read", "tools.read", False),
        ("tools.*", "*", False),
        ("tools.*", "tools.*", True),
        ("", "tools.read", False),
    ],
)
def test_wildcards_cover_a_family_or_everything(grant: str, permission: str, covers: bool) -> None:
    """Nothing else is a pattern."""
    assert granted([grant], permission) is covers
    assert granted([], permission) is False


@given(held=grants, subset=st.none() | grants, permission=st.sampled_from(GRANTS))
@bounded
def test_narrowing_never_widens(
    held: tuple[str, ...], subset: tuple[str, ...] | None, permission: str
) -> None:
    """What is left is covered by what was held and by the subset, and keeps all they share."""
    left = granted(narrow(held, subset), permission)
    both = granted(held, permission) and (subset is None or granted(subset, permission))
    assert left == both


def test_narrowing_keeps_the_narrower_of_two_wildcards() -> None:
    """In either direction; without a subset nothing changes."""
    assert narrow(["tools.*"], ["tools.read", "llm.invoke"]) == ("tools.read",)
    assert narrow(["tools.read", "llm.invoke"], ["tools.*"]) == ("tools.read",)
    assert narrow(("tools.read", "a.b"), None) == ("tools.read", "a.b")


@given(
    held=grants,
    inside=team_grants,
    permission=st.sampled_from(PERMISSIONS),
    team=st.sampled_from([None, "a", "b"]),
)
@bounded
def test_a_role_in_a_team_holds_for_that_team_alone(
    held: tuple[str, ...], inside: tuple[TeamGrant, ...], permission: str, team: str | None
) -> None:
    """Held in a team means held at all; held at all means held everywhere or in some team."""
    scope = VisibilityScope(permissions=held, team_grants=inside)
    here = [grant for grant in inside if grant.team == team]
    assert holds_in(scope, permission, team) == (
        granted(held, permission) or any(granted(grant.permissions, permission) for grant in here)
    )
    assert holds(scope, permission) == any(
        holds_in(scope, permission, each) for each in [None, *"abc"]
    )


@given(
    inside=team_grants,
    subset=st.none() | grants,
    permission=st.sampled_from(GRANTS),
    team=st.sampled_from("abc"),
)
@bounded
def test_narrowing_the_roles_in_teams_never_widens(
    inside: tuple[TeamGrant, ...], subset: tuple[str, ...] | None, permission: str, team: str
) -> None:
    """In each team it is what `narrow` leaves; a team with nothing left is gone."""
    before = VisibilityScope(team_grants=inside)
    left = narrow_grants(inside, subset)
    both = holds_in(before, permission, team) and (subset is None or granted(subset, permission))
    assert holds_in(VisibilityScope(team_grants=left), permission, team) == both
    assert all(grant.permissions for grant in left)


@given(subject=subjects, record=records, inside=team_grants)
@bounded
def test_permission_in_a_team_needs_sight_of_its_record(
    subject: Subject, record: CatalogRecord, inside: tuple[TeamGrant, ...]
) -> None:
    """`allow` and `permitted` agree about every record a caller sees."""
    context = context_of(subject)
    scope = replace(context.visibility_scope, team_grants=inside)
    context = replace(context, visibility_scope=scope)
    may = permitted(context, "tools.execute", record)
    assert may == (visible(context, record) and holds_in(scope, "tools.execute", record.team))

    if may:
        allow(context, "tools.execute", record)
    elif visible(context, record):
        with pytest.raises(PermissionDenied):
            allow(context, "tools.execute", record)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("action", list(Action))
def test_every_action_on_every_kind_needs_a_permission(kind: Kind, action: Action) -> None:
    """Only a wildcard covers what no role names."""
    family, _, verb = permission_for(kind, action).partition(".")
    assert family
    assert verb


@pytest.mark.parametrize(
    ("kind", "action", "permission"),
    [
        (Kind.MODEL, Action.EXECUTE, "llm.invoke"),
        (Kind.MODEL, Action.READ, "llm.read"),
        (Kind.MODEL, Action.UPDATE, "models.update"),
        (Kind.TOOL, Action.EXECUTE, "tools.execute"),
        (Kind.RESOURCE, Action.EXECUTE, "resources.read"),
        (Kind.PROMPT, Action.EXECUTE, "prompts.read"),
        (Kind.SERVER, Action.USE, "servers.use"),
    ],
)
def test_permissions_have_the_names_of_the_contract(
    kind: Kind, action: Action, permission: str
) -> None:
    """A model is used through the llm family; reading is how resources and prompts are used."""
    assert permission_for(kind, action) == permission


def test_viewers_only_read_and_use() -> None:
    """The administrator may do everything, the viewers change nothing."""
    assert granted(ROLES["platform_admin"], "admin.anything")

    for role in ("platform_viewer", "viewer"):
        assert {entry.partition(".")[2] for entry in ROLES[role]} <= {"read", "use"}


MONDAY_NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ranges", "client_ip", "admitted"),
    [
        ((), None, True),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "11.1.2.3", False),
        (("192.0.2.1",), "192.0.2.1", True),
        (("10.1.2.3/8",), "10.9.9.9", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "2001:db8::1", False),
        (("2001:db8::/32", "10.0.0.0/8"), "2001:db8::1", True),
        (("10.0.0.0/8",), None, False),
        (("10.0.0.0/8",), "not an address", False),
        (("not a range", "10.0.0.0/8"), "10.1.2.3", False),
    ],
)
def test_addresses_outside_the_ranges_are_refused(
    ranges: tuple[str, ...], client_ip: str | None, admitted: bool
) -> None:
    """So is an unknown address, and a range nobody can read admits nobody."""
    scope = VisibilityScope(ip_restrictions=ranges)
    assert restrictions_hold(scope, client_ip, MONDAY_NOON) is admitted


@pytest.mark.parametrize(
    ("windows", "now", "admitted"),
    [
        ((), MONDAY_NOON, True),
        ((TimeWindow(),), MONDAY_NOON, True),
        ((TimeWindow(days=(0,)),), MONDAY_NOON, True),
        ((TimeWindow(days=(1, 6)),), MONDAY_NOON, False),
        ((TimeWindow(start_minute=720),), MONDAY_NOON, True),
        ((TimeWindow(end_minute=720),), MONDAY_NOON, False),
        ((TimeWindow(start_minute=721),), MONDAY_NOON, False),
        ((TimeWindow(days=(1,)), TimeWindow(days=(0,))), MONDAY_NOON, True),
        ((TimeWindow(start_minute=1200, end_minute=60),), MONDAY_NOON, False),
        (
            (TimeWindow(days=(6,)),),
            datetime(2026, 1, 5, 1, tzinfo=timezone(timedelta(hours=2))),
            True,
        ),
    ],
)
def test_moments_outside_the_windows_are_refused(
    windows: tuple[TimeWindow, ...], now: datetime, admitted: bool
) -> None:
    """Days and minutes are those of UTC, whatever zone the clock has."""
    assert restrictions_hold(VisibilityScope(time_restrictions=windows), None, now) is admitted


def test_what_is_allowed_passes_and_the_rest_is_refused_by_name() -> None:
    """The message says which permission is missing, and on what."""
    context = context_of(Subject(), ("tools.*",))
    allow(context, "tools.execute", PUBLIC)

    with pytest.raises(PermissionDenied, match=r"lacks the permission llm\.invoke\."):
        allow(context, "llm.invoke")

    with pytest.raises(PermissionDenied, match=r"permission llm\.invoke on the tool 'tool'\."):
        allow(context, "llm.invoke", PUBLIC)


def test_who_came_in_through_a_server_may_fetch_it() -> None:
    """By the permission to use it, and nothing else by that."""
    server = replace(PUBLIC, id="s", kind=Kind.SERVER)
    entered = context_of(Subject(), server_id="s")
    assert fetch_permission(entered, server) == "servers.use"
    assert fetch_permission(entered, PUBLIC) == "tools.read"
    assert fetch_permission(context_of(Subject()), server) == "servers.read"


def test_one_error_says_absent_and_hidden() -> None:
    """It repeats what the caller said and knows nothing else."""
    error = absent(Target(kind=Kind.RESOURCE_TEMPLATE, name="x"))
    assert error.code == "core.resource_template.not_found"
    assert error.message == "The resource template 'x' does not exist."


def test_a_record_is_called_only_with_a_backend_that_is_there_and_on() -> None:
    """A record that needs none is called without."""
    served = replace(PUBLIC, spec=ToolSpec(gateway="g"))
    gateway = replace(PUBLIC, kind=Kind.GATEWAY, name="g")
    assert usable_backend(PUBLIC, None) is None
    assert usable_backend(served, gateway) is gateway

    with pytest.raises(FailedPrecondition, match="has no gateway") as missing:
        usable_backend(served, None)

    with pytest.raises(FailedPrecondition, match="is switched off") as disabled:
        usable_backend(served, replace(gateway, enabled=False))

    codes = (missing.value.code, disabled.value.code)
    assert codes == ("core.backend.missing", "core.backend.disabled")


@pytest.mark.parametrize(
    ("one", "other", "request_id", "is_same"),
    [
        (Subject(token_id="t"), Subject(token_id="t"), "other", True),
        (Subject(token_id="t"), Subject(token_id="u"), "r", False),
        (Subject(token_id="t"), Subject(token_id="t", token_epoch=1), "r", False),
        (Subject(), Subject(), "r", True),
        (Subject(), Subject(), "other", False),
    ],
)
def test_a_credential_is_one_caller_in_all_its_requests(
    one: Subject, other: Subject, request_id: str, is_same: bool
) -> None:
    """Who has none is one caller in a single request."""
    later = replace(context_of(other), trace=TraceContext(request_id=request_id))
    assert is_same_caller(context_of(one), later) is is_same


@pytest.mark.parametrize(
    ("subject", "owner"),
    [
        (Subject(user_email=ME, token_id="t"), f"user:{ME}"),
        (Subject(token_id="t"), "token:t"),
        (Subject(), None),
    ],
)
def test_sessions_belong_to_a_person_or_else_to_a_token(
    subject: Subject, owner: str | None
) -> None:
    """Nobody in particular owns none."""
    assert session_owner(context_of(subject)) == owner
