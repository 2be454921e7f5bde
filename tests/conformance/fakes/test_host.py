"""What only the fake host has: a clock, refusals on demand, and a journal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.admission import Limits, Outcome, Status
from spindle_spi.auth import ResolveCallerRequest
from spindle_spi.catalog import ChangeKind
from spindle_spi.context import TimeWindow
from spindle_spi.errors import (
    ContractViolation,
    FailedPrecondition,
    NotFound,
    RateLimited,
    Unauthenticated,
    UpstreamTimeout,
)
from spindle_spi.invocation import Complete, Invocation
from spindle_spi.observability import AuditEvent, Level
from spindle_spi.plugin import Finding, HookPhase, Lane, Plugin, PluginInput, Segment, SegmentKind
from spindle_spi.policy import Action
from spindle_spi.records import (
    CatalogRecord,
    GatewaySpec,
    Kind,
    PublishedRecord,
    Target,
    ToolSpec,
    Visibility,
)
from spindle_spi.secret import SecretRef
from spindle_spi.session_event import SessionSpec
from tests.core.heart import Owner

if TYPE_CHECKING:
    from collections.abc import Sequence

GATEWAY = CatalogRecord(
    id="g",
    kind=Kind.GATEWAY,
    name="demo",
    module="mine",
    visibility=Visibility.PUBLIC,
    spec=GatewaySpec(url="http://127.0.0.1:9", credential=SecretRef(name="k")),
)
TOOL = CatalogRecord(
    id="t",
    kind=Kind.TOOL,
    name="demo-add",
    module="mine",
    visibility=Visibility.PUBLIC,
    spec=ToolSpec(gateway="demo", upstream_name="add"),
)
ADD = Target(kind=Kind.TOOL, name="demo-add")
DONE = Outcome(status=Status.OK)


class Clock:
    """A time that tests set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Whole(Plugin):
    """Shouts, once it has seen everything; or gives back something else."""

    name = "whole"
    gives: Segment | None = None

    async def inspect(self, call: PluginInput, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        if self.gives is not None:
            return (self.gives,)

        return tuple(replace(segment, text=segment.text.upper()) for segment in segments)


@pytest.fixture
def host() -> FakeHost:
    return FakeHost([GATEWAY, TOOL])


async def test_a_call_leaves_what_happened_in_the_journal(host: FakeHost) -> None:
    """Who was admitted for whom, how it ended, and nothing open."""
    catalog, ada = host.services_for("mine").catalog, caller("ada@example.org", "red")
    permit = await catalog.admit(ada, ADD, Action.EXECUTE)
    assert host.open_permits == (permit,)

    with pytest.raises(AssertionError, match="open"):
        _ = host.outcome

    await catalog.settle(permit.id, DONE)
    assert host.outcome == DONE
    (admitted,) = host.journal.admitted
    assert (admitted.context, admitted.module, admitted.permit) == (ada, "mine", permit)
    assert permit.secrets == (SecretRef(name="k"),)
    await catalog.settle((await catalog.admit(ada, ADD, Action.EXECUTE)).id, DONE)

    with pytest.raises(AssertionError, match="2 permits"):
        _ = host.outcome


async def test_what_a_module_says_is_kept(host: FakeHost) -> None:
    """Log lines, measures and audit events, with who said them."""
    told, ada = host.services_for("mine").observability, caller()
    told.log(Level.WARNING, "mine.odd", {"n": 1})
    told.count("calls", 2.0, {"kind": "tool"})
    told.observe("seconds", 0.5)
    await told.audit(ada, AuditEvent(action="a", target="t", decision="allow"))
    (line,), (counted,), (observed,), (audited,) = (
        host.journal.logged,
        host.journal.counted,
        host.journal.observed,
        host.journal.audited,
    )
    assert (line.module, line.level, line.event, line.fields) == (
        "mine",
        Level.WARNING,
        "mine.odd",
        {"n": 1},
    )
    assert (counted.name, counted.value, counted.labels) == ("calls", 2.0, {"kind": "tool"})
    assert (observed.name, observed.value) == ("seconds", 0.5)
    assert (audited.context, audited.event.action) == (ada, "a")
    assert told.trace(ada) == ada.trace


async def test_an_operation_fails_on_demand(host: FakeHost) -> None:
    """Until it is let be; a refused settlement has ended the permit."""
    catalog, ada = host.services_for("mine").catalog, caller()
    host.refuse("admit", RateLimited("Slow down."))

    with pytest.raises(RateLimited):
        await catalog.admit(ada, ADD, Action.EXECUTE)

    host.refuse("admit", None)
    host.limits = Limits(max_attempts=3)
    permit = await catalog.admit(ada, ADD, Action.EXECUTE)
    assert permit.limits == host.limits == Limits(max_attempts=3)
    host.refuse("settle", ContractViolation("No."))

    with pytest.raises(ContractViolation):
        await catalog.settle(permit.id, DONE)

    assert (host.open_permits, len(host.journal.settled)) == ((), 1)


async def test_time_is_the_tests(host: FakeHost) -> None:
    """Leases and sessions end when the clock says so."""
    host.clock = clock = Clock()
    services, ada = host.services_for("mine"), caller()
    lease = await services.catalog.open_lease(ada, 10)
    assert lease.expires_at == 1010.0
    assert list(host.open_leases) == [lease.id]
    permit = await services.catalog.admit(ada, ADD, Action.EXECUTE, lease_id=lease.id)
    session = await services.session_event.create_session(ada, SessionSpec(kind="m.x", ttl=20))
    clock.now += 9
    assert (await services.catalog.renew_lease(lease.id, 10)).expires_at == 1019.0
    await services.session_event.append_event(ada, session.id, "e", {})
    clock.now += 10
    assert host.has_lease(lease.id)
    host.end_expired_leases()
    assert not host.has_lease(lease.id)
    assert list(host.open_leases) == []
    assert host.outcome.status is Status.LOST

    with pytest.raises(NotFound):
        await services.catalog.settle(permit.id, DONE)

    assert await services.session_event.validate_session_owner(ada, session.id)
    clock.now += 10

    with pytest.raises(NotFound):
        await services.session_event.get_session(ada, session.id)


async def test_a_caller_is_known_until_the_token_is_revoked(host: FakeHost) -> None:
    """And only where and when the token holds."""
    services, ada = host.services_for("mine"), caller(email="ada@x")
    session = await services.session_event.create_session(ada, SessionSpec(kind="m.x"))
    host.callers.known["s3cret"] = ada
    request = ResolveCallerRequest(
        transport="stdio", headers=(("authorization", "Bearer s3cret"),), client_ip="127.0.0.1"
    )
    assert (await services.auth.resolve_caller(request)).subject == ada.subject
    never = (TimeWindow(days=()),)
    scope = replace(ada.visibility_scope, time_restrictions=never)
    host.callers.known["s3cret"] = replace(ada, visibility_scope=scope)

    with pytest.raises(Unauthenticated):
        await services.auth.resolve_caller(request)

    host.callers.known["s3cret"] = ada
    host.callers.revoked.add("token-ada@x")

    with pytest.raises(Unauthenticated):
        await services.auth.resolve_caller(request)

    assert not (await services.auth.validate_session_binding(ada, session.id)).allowed


def test_callers_are_made_as_tests_need_them() -> None:
    """A person by default, an administrator who sees everything, or nobody."""
    assert caller("a@x").subject.token_id == "token-a@x"
    assert caller("a@x", "red").subject.token_teams == ("red",)
    assert caller("a@x", is_admin=True).subject.token_teams is None
    assert caller(None).subject.token_id is None
    assert caller("a@x").trace != caller("a@x").trace


async def test_a_secret_without_a_value_is_missing(host: FakeHost) -> None:
    """The host says where it looked; what was asked is kept."""
    secrets = host.services_for("mine").config_secrets

    with pytest.raises(FailedPrecondition, match="FakeHost"):
        await secrets.secret(SecretRef(name="k"))

    host.secrets["k"] = "v"
    assert (await secrets.secret(SecretRef(name="k"))).reveal() == "v"
    assert host.journal.secrets == ["k", "k"]


async def test_who_subscribed_sees_changes_merged(host: FakeHost) -> None:
    """What came and went in between is nothing; a closed feed ends."""
    catalog = host.services_for("mine").catalog
    feed = host.records.feed([Kind.TOOL])
    fleeting = replace(TOOL, id="u", name="demo-sub")
    host.records.add(fleeting)
    host.records.add(replace(fleeting, description="better"))
    host.records.remove(fleeting)
    host.records.add(replace(TOOL, description="changed"))
    host.records.remove(TOOL)
    host.records.add(TOOL)
    change = await anext(feed)
    assert (change.change, change.record.id) == (ChangeKind.UPDATED, "t")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(feed.aclose)
            assert [one async for one in feed] == []

    assert [one.id for one in await catalog.owned("mine", Kind.TOOL)] == ["t"]


def test_names_are_taken_once(host: FakeHost) -> None:
    """Two records of a kind cannot have one name; refused, nothing is added."""
    with pytest.raises(ValueError, match="one name"):
        host.records.add(replace(TOOL, id="other"))

    assert [one.id for one in host.records] == ["g", "t"]
    host.records.clear()
    assert list(host.records) == []


async def test_what_is_published_goes_with_its_source(host: FakeHost) -> None:
    """And comes in front of no stored record of its name."""
    catalog = host.services_for("mine").catalog
    spec = ToolSpec(gateway="demo", upstream_name="sub")
    found = PublishedRecord(kind=Kind.TOOL, name="demo-sub", spec=spec)
    await catalog.publish("mine", "gateway:demo", [found])
    host.records.add(replace(TOOL, id="s", name="demo-sub", spec=spec))
    shown = host.records.find(Kind.TOOL, "demo-sub")
    assert shown is not None
    assert shown.origin == "api"
    host.records.discard("s")
    host.records.remove(GATEWAY)
    assert [one.id for one in host.records] == ["t"]
    await catalog.publish("mine", "mine", [replace(found, spec=ToolSpec(model="m"))])
    own = host.records.find(Kind.TOOL, "demo-sub")
    assert own is not None
    assert own.visibility is Visibility.PRIVATE
    await catalog.publish("mine", "mine", [])
    assert host.records.find(Kind.TOOL, "demo-sub") is None
    assert len(host.journal.published) == 3


@pytest.mark.parametrize("off", [None, replace(GATEWAY, enabled=False)])
async def test_a_record_that_nothing_serves_is_not_admitted(
    host: FakeHost, off: CatalogRecord | None
) -> None:
    """Whether its backend is gone or switched off."""
    host.records.remove(GATEWAY)
    host.records.add(*([] if off is None else [off]))

    with pytest.raises(FailedPrecondition):
        await host.services_for("mine").catalog.admit(caller(), ADD, Action.EXECUTE)


async def test_a_plugin_without_a_span_holds_a_stream_to_its_end(host: FakeHost) -> None:
    """As the core does; a lane without text is not shown to it."""
    host.plugins.append(Whole())
    services, ada = host.services_for("mine"), caller()
    permit = await services.catalog.admit(ada, ADD, Action.EXECUTE)
    guard = await services.plugin.open_guard(ada, permit.id)
    assert await guard.push(Lane(), "quiet") == ""
    assert await guard.push(Lane(choice=1), "") == ""
    assert (await guard.close(Lane()), await guard.close(Lane(choice=1))) == ("QUIET", "")
    piece = Segment(pointer="/x", kind=SegmentKind.TEXT, text="a")
    assert [one.text for one in await guard.judge([piece])] == ["A"]
    await guard.finish()
    assert (host.guards[0].judged, host.guards[0].is_finished) == ([piece], True)


async def test_a_plugin_that_breaks_its_contract_is_told_so(host: FakeHost) -> None:
    """It gave back something else; a plugin that is gone judges nothing either."""
    plugin = Whole()
    host.plugins.append(plugin)
    services, ada = host.services_for("mine"), caller()
    permit = await services.catalog.admit(ada, ADD, Action.EXECUTE)
    piece = Segment(pointer="/x", kind=SegmentKind.TEXT, text="a")
    plugin.gives = replace(piece, pointer="/y")

    for _ in range(2):
        with pytest.raises(ContractViolation):
            await services.plugin.execute_hook(ada, permit.id, HookPhase.PRE_INVOKE, [piece])

        host.plugins.clear()


async def test_a_defect_in_a_plugin_reaches_the_test(host: FakeHost) -> None:
    """Where the core would hide it; the guard releases nothing more."""

    class Broken(Plugin):
        name = "broken"
        span = 1

        def scan(self, text: str, start: int) -> list[Finding]:
            raise LookupError

    host.plugins.append(Broken())
    services, ada = host.services_for("mine"), caller()
    permit = await services.catalog.admit(ada, ADD, Action.EXECUTE)
    guard = await services.plugin.open_guard(ada, permit.id)

    with pytest.raises(LookupError):
        await guard.push(Lane(), "a")

    with pytest.raises(ContractViolation):
        await guard.push(Lane(), "b")


async def test_a_call_ends_at_its_deadline(host: FakeHost) -> None:
    """Before the owner hears of it when it is over already."""
    owner = host.owners["mine"] = Owner(module_id="mine")
    catalog, ada = host.services_for("other").catalog, caller()
    late = Invocation(target=ADD, deadline=0.0)

    with pytest.raises(UpstreamTimeout):
        await catalog.invoke(ada, late)

    assert owner.seen == []
    assert host.journal.invoked == [late]
    assert isinstance(await catalog.invoke(ada, replace(late, deadline=1e12)), Complete)


def test_equal_views_have_equal_keys(host: FakeHost) -> None:
    """Over one kind or all; what a caller does not see changes nothing for them."""
    ada, bob, admin = caller("ada@x", "red"), caller("bob@x"), caller("root@x", is_admin=True)
    before = host.records.view_key(ada), host.records.view_key(admin)
    assert before == (host.records.view_key(bob), host.records.view_key(ada))
    secret = replace(TOOL, id="s", name="secret", visibility=Visibility.TEAM, team="red")
    host.records.add(secret)
    assert host.records.view_key(bob) == before[0]
    assert host.records.view_key(ada) == host.records.view_key(admin) != before[0]
    tools, gateways = (host.records.view_key(ada, kind) for kind in (Kind.TOOL, Kind.GATEWAY))
    assert tools != host.records.view_key(bob, Kind.TOOL)
    assert gateways == host.records.view_key(bob, Kind.GATEWAY)
