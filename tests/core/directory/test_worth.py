"""Properties: what a credential is worth, and that nobody hands on more than they have."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spindle.authority import check_worth, sees_everything
from spindle.directory.tokens import TokenDesk, TokenWish
from spindle.people import (
    NOBODY,
    People,
    Person,
    compile_people,
    credential_of,
    credential_of_token,
)
from spindle.store import TokenRow
from spindle.store.people import PeopleRows
from spindle.store.rows import MembershipRow, RoleRow, TeamRow, UserRow
from spindle_spi.context import AuthenticatedContext, TimeWindow, TraceContext
from spindle_spi.errors import GatewayError, PermissionDenied
from spindle_spi.policy import holds_in, permitted, restrictions_hold, visible
from spindle_spi.records import CatalogRecord, Kind, ToolSpec, Visibility
from tests.spi.derived import bounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.audit import Audit, AuditEntry
    from spindle.credentials import Credential
    from spindle.store import Store

ADA, BOB = "ada@example.org", "bob@example.org"
PERMISSIONS = ("tools.read", "tools.execute", "llm.invoke", "tokens.create", "users.update")
PATTERNS = (*PERMISSIONS, "tools.*", "tokens.*", "*")
TEAMS = ("red", "blue")
RANGES = ("10.0.0.0/8", "10.1.0.0/16", "192.0.2.7/32")
WINDOWS = (
    TimeWindow(),
    TimeWindow(days=(0, 1), start_minute=60, end_minute=120),
    TimeWindow(days=(0,), start_minute=60, end_minute=90),
)

names = st.sampled_from(["one", "two", "platform_admin", "viewer"])
patterns = st.lists(st.sampled_from(PATTERNS), max_size=3, unique=True).map(tuple)
subsets = st.none() | patterns
teams = st.none() | st.lists(st.sampled_from(TEAMS), unique=True).map(tuple)
ranges = st.lists(st.sampled_from(RANGES), max_size=2, unique=True).map(tuple)
windows = st.lists(st.sampled_from(WINDOWS), max_size=2, unique=True).map(tuple)
ends = st.sampled_from([None, 4e9, 5e9])
users = st.builds(
    UserRow,
    email=st.just(ADA),
    role=st.none() | names,
    is_admin=st.booleans(),
    authority=st.just(7),
)


def crowd(
    user: UserRow, one: tuple[str, ...], two: tuple[str, ...], inside: dict[str, str]
) -> PeopleRows:
    """Two people, two teams, two custom roles."""
    return PeopleRows(
        users=(user, UserRow(email=BOB, role="two")),
        teams=tuple(TeamRow(name=team) for team in TEAMS),
        memberships=tuple(
            MembershipRow(email=ADA, team=team, role=role) for team, role in inside.items()
        ),
        roles=(RoleRow(name="one", permissions=one), RoleRow(name="two", permissions=two)),
    )


crowds = st.builds(
    crowd, users, patterns, patterns, st.dictionaries(st.sampled_from(TEAMS), names, max_size=2)
)
owned = st.builds(
    TokenRow,
    id=st.just("mine"),
    name=st.just("mine"),
    prefix=st.just("spn_mine"),
    hash=st.just("hash"),
    created_at=st.just(1.0),
    user_email=st.sampled_from([None, ADA]),
    is_admin=st.booleans(),
    teams=teams,
    permissions=st.just(("*",)) | patterns.map(lambda held: ("tokens.*", *held)),
    role=st.sampled_from(["", "", "one", "two", "platform_admin"]),
    server_id=st.sampled_from([None, "desk"]),
    ip_restrictions=ranges,
    time_restrictions=windows,
    expires_at=ends,
)
wishes = st.fixed_dictionaries(
    {},
    # What is left out is the caller's own: most wishes that are granted say little.
    optional={
        "user": st.sampled_from([ADA, BOB]),
        "unowned": st.booleans(),
        "role": names,
        "is_admin": st.booleans(),
        "teams": teams,
        "permissions": subsets,
        "server_id": st.sampled_from(["desk", "shelf"]),
        "ip_restrictions": ranges,
        "time_restrictions": windows,
        "expires_at": ends,
    },
).map(lambda wish: TokenWish(**cast("Any", wish)))
records = st.builds(
    CatalogRecord,
    id=st.just("1"),
    kind=st.just(Kind.TOOL),
    name=st.just("tool"),
    spec=st.just(ToolSpec()),
    owner=st.sampled_from([None, ADA, BOB]),
    team=st.sampled_from([None, *TEAMS]),
    visibility=st.sampled_from(Visibility),
    server_ids=st.lists(st.sampled_from(["desk"])).map(tuple),
)


def people_of(rows: PeopleRows) -> People:
    return compile_people(rows)


def caller(worth: Credential) -> AuthenticatedContext:
    trace = TraceContext(request_id="r")
    return AuthenticatedContext(subject=worth.subject, visibility_scope=worth.scope, trace=trace)


@dataclass
class Memory:
    """As much of a store as a desk needs."""

    rows: PeopleRows
    kept: list[TokenRow]

    @property
    def users(self) -> Memory:
        return self

    @property
    def tokens(self) -> Memory:
        return self

    async def everybody(self) -> PeopleRows:
        return self.rows

    async def all(self) -> tuple[TokenRow, ...]:
        return tuple(self.kept)

    async def get(self, token_id: str) -> TokenRow | None:
        return next((row for row in self.kept if row.id == token_id), None)

    async def create(self, row: TokenRow, audit: Sequence[AuditEntry] = ()) -> None:
        assert audit
        self.kept.append(row)

    def row(self, context: AuthenticatedContext, entry: AuditEntry) -> AuditEntry:
        del context
        return entry


def try_to_make(rows: PeopleRows, mine: TokenRow, wish: TokenWish) -> TokenRow | None:
    """Make a token as the holder of `mine`; None when that is refused."""
    worth = credential_of_token(mine, people_of(rows))
    assert worth is not None
    memory = Memory(rows, [mine])
    desk = TokenDesk(cast("Store", memory), cast("Audit", memory))

    async def make() -> TokenRow | None:
        try:
            _, row = await desk.create(caller(worth), wish)
        except GatewayError:
            return None

        return row

    return anyio.run(make)


@given(rows=crowds, mine=owned, wish=wishes, record=records)
@settings(bounded, max_examples=300)
def test_nobody_makes_a_token_that_is_worth_more_than_they_are(
    rows: PeopleRows, mine: TokenRow, wish: TokenWish, record: CatalogRecord
) -> None:
    """Permissions, teams, administrator, server, addresses, hours and end: never more."""
    made = try_to_make(rows, mine, wish)

    if made is None:
        return

    people = people_of(rows)
    before, after = credential_of_token(mine, people), credential_of_token(made, people)
    assert before is not None
    assert after is not None
    one, other = caller(before), caller(after)

    for permission in PERMISSIONS:
        assert permitted(one, permission) or not permitted(other, permission)
        assert permitted(one, permission, record) or not permitted(other, permission, record)

        for team in (None, *TEAMS):
            theirs = holds_in(other.visibility_scope, permission, team)
            assert holds_in(one.visibility_scope, permission, team) or not theirs

    assert visible(one, record) or not visible(other, record)

    assert sees_everything(one) or not sees_everything(other)
    assert mine.server_id in (None, made.server_id)

    if mine.expires_at is not None:
        assert made.expires_at is not None
        assert made.expires_at <= mine.expires_at

    for address in ("10.1.2.3", "10.9.9.9", "192.0.2.7", "198.51.100.1"):
        for hour, minute in ((1, 15), (1, 45), (12, 0)):
            for day in (5, 6, 7):
                now = datetime(2026, 1, day, hour, minute, tzinfo=UTC)
                if restrictions_hold(other.visibility_scope, address, now):
                    assert restrictions_hold(one.visibility_scope, address, now)


@given(rows=crowds, mine=owned, wish=wishes, later=patterns)
@bounded
def test_what_a_limited_caller_handed_on_does_not_grow_beyond_them(
    rows: PeopleRows, mine: TokenRow, wish: TokenWish, later: tuple[str, ...]
) -> None:
    """A role that gains permissions later gives them to no token that its maker has not as well."""
    mine = replace(mine, user_email=ADA, role="")
    made = try_to_make(rows, mine, replace(wish, user=None, unowned=False))

    if made is None:
        return

    grown = replace(
        rows,
        roles=tuple(replace(role, permissions=(*role.permissions, *later)) for role in rows.roles),
    )
    people = people_of(grown)
    one, other = credential_of_token(mine, people), credential_of_token(made, people)
    assert one is not None
    assert other is not None

    for permission in PERMISSIONS:
        for team in (None, *TEAMS):
            theirs = holds_in(other.scope, permission, team)
            assert holds_in(one.scope, permission, team) or not theirs


@given(rows=crowds, claimed=teams, permissions=subsets)
@bounded
def test_a_claim_narrows_a_person_and_never_widens(
    rows: PeopleRows, claimed: tuple[str, ...] | None, permissions: tuple[str, ...] | None
) -> None:
    """Teams and permissions of a credential are covered by those of the person."""
    people = people_of(rows)
    person = people.users[ADA]
    whole = credential_of(person, people, token_id="t", claimed_teams=None, expires_at=None)
    part = credential_of(
        person,
        people,
        token_id="t",
        claimed_teams=claimed,
        permissions=permissions,
        expires_at=None,
    )

    for permission in PERMISSIONS:
        for team in (None, *TEAMS):
            assert holds_in(whole.scope, permission, team) or not holds_in(
                part.scope, permission, team
            )

    assert set(part.subject.token_teams or ()) <= set(whole.subject.token_teams or TEAMS)
    assert sees_everything(caller(part)) == (person.is_admin and claimed is None)
    check_worth(caller(whole), part)


@given(rows=crowds, row=owned)
@bounded
def test_only_both_conditions_make_a_credential_see_everything(
    rows: PeopleRows, row: TokenRow
) -> None:
    """An administrator, and teams explicitly null; of a person the person's flag counts."""
    people = people_of(rows)
    worth = credential_of_token(row, people)
    assert worth is not None
    person = None if row.user_email is None else people.users[row.user_email]
    is_admin = row.is_admin if person is None else person.is_admin
    is_all = is_admin and row.teams is None and row.server_id is None
    assert sees_everything(caller(worth)) == is_all


def test_a_role_in_a_team_that_adds_nothing_costs_nothing() -> None:
    """Who may do it everywhere has no grants to look through on the request path."""
    person = Person(
        email=ADA, role="developer", memberships={"red": "viewer", "blue": "team_admin"}
    )
    worth = credential_of(person, NOBODY, token_id="t", claimed_teams=None, expires_at=None)
    assert [grant.team for grant in worth.scope.team_grants] == ["blue"]


def test_a_token_of_before_there_were_users_goes_on_working() -> None:
    """Its permissions are as stored, of its role; without a role they are its own."""
    row = TokenRow(
        id="t",
        name="t",
        prefix="p",
        hash="h",
        created_at=time.time(),
        user_email="Nobody@example.org",
        teams=("red",),
        permissions=("llm.*", "tools.read"),
        role="developer",
    )
    worth = credential_of_token(row, NOBODY)
    assert worth is not None
    assert worth.scope.permissions == ("llm.*", "tools.read")
    assert worth.subject.token_teams == ("red",)
    own = credential_of_token(replace(row, role="", permissions=("x.y",)), NOBODY)
    assert own is not None
    assert own.scope.permissions == ("x.y",)
    gone = credential_of_token(replace(row, role="gone"), NOBODY)
    assert gone is not None
    assert gone.scope.permissions == ()


@pytest.mark.parametrize(
    ("theirs", "mine", "holds"),
    [
        (("10.1.0.0/16",), ("10.0.0.0/8",), True),
        ((), ("10.0.0.0/8",), False),
        (("10.0.0.0/8",), ("10.1.0.0/16",), False),
        (("::1/128",), ("10.0.0.0/8",), False),
        (("10.0.0.1",), ("::/0",), False),
        (("::1",), ("::/0",), True),
        (("nonsense",), ("10.0.0.0/8",), False),
    ],
)
def test_addresses_are_inside_or_they_are_more(
    theirs: tuple[str, ...], mine: tuple[str, ...], holds: bool
) -> None:
    """What cannot be compared is more."""
    person = Person(email=ADA)
    worth = credential_of(person, NOBODY, token_id="t", claimed_teams=None, expires_at=None)
    limited = replace(worth, scope=replace(worth.scope, ip_restrictions=mine))
    wanted = replace(worth, scope=replace(worth.scope, ip_restrictions=theirs))

    if holds:
        check_worth(caller(limited), wanted)
    else:
        with pytest.raises(PermissionDenied, match="addresses"):
            check_worth(caller(limited), wanted)


def test_a_limited_caller_hands_on_by_name_what_they_hold_now() -> None:
    """Even when their limits take nothing away today: they may tomorrow."""
    held = ("tokens.create", "tools.read")
    rows = PeopleRows(
        users=(UserRow(email=ADA, role="one"),),
        teams=(),
        memberships=(),
        roles=(RoleRow(name="one", permissions=held),),
    )
    whole = TokenRow(
        id="mine",
        name="mine",
        prefix="spn_mine",
        hash="hash",
        created_at=1.0,
        user_email=ADA,
        teams=None,
        permissions=("*",),
    )
    free = try_to_make(rows, whole, TokenWish())
    limited = try_to_make(rows, replace(whole, permissions=held), TokenWish())
    inside = try_to_make(rows, replace(whole, teams=()), TokenWish())
    assert free is not None
    assert limited is not None
    assert inside is not None
    assert (free.permissions, free.teams) == (("*",), None)
    assert (limited.permissions, limited.teams) == (held, ())
    assert (inside.permissions, inside.teams) == (held, ())
