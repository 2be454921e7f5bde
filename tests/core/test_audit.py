"""The audit log: changes are kept before the answer, refusals within bounds, secrets never."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest
import structlog
from sqlalchemy.exc import OperationalError

from spindle.administrator import local_context
from spindle.audit import DROPPED, SUPPRESSED, Audit, AuditEntry
from spindle.config.audit import AuditSettings
from spindle.redaction import Redactor
from spindle.refusals import Refusal
from spindle.store.audit import AuditFilter, AuditLog
from spindle_spi.admission import Outcome, Status
from spindle_spi.context import Subject
from spindle_spi.errors import NotFound, PermissionDenied, Unavailable
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from spindle_spi.secret import Secret
from tests.core.heart import open_heart
from tests.core.store.opened import opened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spindle.store import Store
    from spindle.store.audit import AuditRow

EVERYTHING = AuditFilter()
ENTRY = AuditEntry(action="users.create", target="ada")
CANARY = "canary-value-0123456789"


async def kept(store: Store) -> tuple[AuditRow, ...]:
    return await store.audit.page(EVERYTHING, limit=10_000)


def refusal(number: int, *, token: str | None = "tok", ip: str = "10.0.0.1") -> Refusal:
    return Refusal(
        action="llm.invoke",
        target="POST /v1/chat/completions",
        target_kind="route",
        error=PermissionDenied("This token lacks it."),
        request_id=f"req_{number}",
        subject=None if token is None else Subject(token_id=token),
        client_ip=ip,
    )


class Counts(dict[str, float]):
    def count(self, name: str, value: float) -> None:
        self[name] = self.get(name, 0) + value


async def test_a_change_is_kept_when_record_returns(tmp_path: Path) -> None:
    """Who, what, on what, how it was decided, and the two states."""
    async with opened(tmp_path) as store:
        context = local_context()
        entry = AuditEntry(
            action="users.update",
            target="ada",
            target_kind="user",
            before={"role": "viewer"},
            after={"role": "developer"},
            client_ip="10.1.2.3",
        )
        await Audit(store).record(context, entry)
        (row,) = await kept(store)

        assert row.actor == context.subject.user_email
        assert row.request_id == context.trace.request_id
        assert (row.action, row.target, row.target_kind) == ("users.update", "ada", "user")
        assert (row.decision, row.client_ip) == ("allowed", "10.1.2.3")
        assert json.loads(row.before or "") == {"role": "viewer"}
        assert json.loads(row.after or "") == {"role": "developer"}


@pytest.mark.requirement("002-10-logging")
async def test_no_entry_holds_a_secret(tmp_path: Path) -> None:
    """Known values, forms and keys, in any field; what no database takes is put right."""
    redactor = Redactor()
    redactor.register(Secret(CANARY))

    async with opened(tmp_path) as store:
        entry = AuditEntry(
            action="providers.update",
            target=f"up {CANARY}\0\udcff",
            reason=f"said {CANARY}",
            before={"api_key": "never registered", "note": [CANARY]},
            after={"url": "https://me:hunter2@host/"},
        )
        await Audit(store, redactor=redactor).record(local_context(), entry)
        (row,) = await kept(store)

    shown = str(row)
    assert "canary" not in shown
    assert "registered" not in shown
    assert "hunter2" not in shown
    assert row.target == "up ***?"


async def test_a_state_without_an_end_is_kept_as_a_note(tmp_path: Path) -> None:
    """So is a reason cut: an entry has a bound."""
    async with opened(tmp_path) as store:
        entry = AuditEntry(action="a.b", target="t", reason="x" * 600, after=["y" * 70_000])
        await Audit(store).record(local_context(), entry)
        (row,) = await kept(store)

    assert row.after == '{"too_long": 70004}'
    assert len(row.reason) == 501


async def test_a_change_whose_entry_cannot_be_written_is_answered_with_503_and_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the store, and is in the log meanwhile."""
    async with opened(tmp_path) as store:
        audit = Audit(store)
        real = AuditLog.add

        async def away(log: AuditLog, rows: Sequence[AuditRow]) -> None:
            raise OperationalError("insert", {}, OSError("gone"))

        monkeypatch.setattr(AuditLog, "add", away)

        with structlog.testing.capture_logs() as logs:
            with pytest.raises(Unavailable) as caught:
                await audit.record(local_context(), ENTRY)

            await audit.close()

        assert caught.value.code == "core.audit.unavailable"
        assert [entry["log_level"] for entry in logs] == ["error", "error"]
        assert logs[0]["action"] == "users.create"
        assert logs[1]["number"] == 1
        monkeypatch.setattr(AuditLog, "add", real)
        await audit.flush()
        assert [row.action for row in await kept(store)] == ["users.create"]


async def test_what_is_noted_is_written_in_the_background_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is away for a while is tried again, and said once."""
    monkeypatch.setattr("spindle.audit._FLUSH_SECONDS", 0.001)
    tries, written = 0, anyio.Event()
    real = AuditLog.add

    async def sometimes(log: AuditLog, rows: Sequence[AuditRow]) -> None:
        nonlocal tries
        tries += 1

        if tries < 3:
            raise OSError

        await real(log, rows)
        written.set()

    async with opened(tmp_path) as store:
        audit = Audit(store)
        audit.note(local_context(), ENTRY)
        assert audit.pending() == 1
        monkeypatch.setattr(AuditLog, "add", sometimes)

        with structlog.testing.capture_logs() as logs:
            async with anyio.create_task_group() as group:
                group.start_soon(audit.run)

                with anyio.fail_after(5):
                    await written.wait()

                group.cancel_scope.cancel()

        assert [entry["event"] for entry in logs] == ["audit log not written, trying again"]
        audit.note(local_context(), ENTRY)
        await audit.close()
        assert len(await kept(store)) == 2


async def test_an_entry_that_is_written_a_second_time_counts_once(tmp_path: Path) -> None:
    """A commit whose answer got lost."""
    async with opened(tmp_path) as store:
        audit = Audit(store)
        rows = [audit.row(local_context(), ENTRY) for _ in range(3)]
        await store.audit.add(rows[:2])
        await store.audit.add(rows)
        assert {row.id for row in await kept(store)} == {row.id for row in rows}


async def test_more_than_may_wait_is_dropped_counted_and_said_once(tmp_path: Path) -> None:
    """The queue is bounded; after it was written there is room again."""
    counts = Counts()

    async with opened(tmp_path) as store:
        audit = Audit(store, AuditSettings(max_pending=2), count=counts.count)

        with structlog.testing.capture_logs() as logs:
            for _ in range(5):
                audit.note(local_context(), ENTRY)

        assert len(logs) == 1
        assert counts == {DROPPED: 3}
        await audit.flush()
        audit.note(local_context(), ENTRY)
        assert audit.pending() == 1


async def test_an_attacker_fills_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many refusals a minute of each credential, or of an address; the others still count."""
    now = 100.0
    monkeypatch.setattr("spindle.audit._now", lambda: now)
    counts = Counts()

    async with opened(tmp_path) as store:
        audit = Audit(store, AuditSettings(denied_per_minute=3), count=counts.count)

        for number in range(50):
            audit.refused(refusal(number))

        assert (audit.pending(), counts[SUPPRESSED]) == (3, 47)
        audit.refused(refusal(60, token="other"))
        audit.refused(refusal(61, token=None))
        audit.refused(refusal(62, token=None, ip="10.0.0.2"))
        assert audit.pending() == 6
        now += 61
        audit.refused(refusal(70))
        assert audit.pending() == 7
        await audit.flush()
        row = (await kept(store))[0]
        assert row.reason == "permission_denied: This token lacks it."
        assert (row.decision, row.token_id, row.client_ip) == ("denied", "tok", "10.0.0.1")


async def test_sources_without_number_share_one_allowance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attacker with a network of addresses costs no memory either."""
    monkeypatch.setattr("spindle.audit._MAX_SOURCES", 2)
    monkeypatch.setattr("spindle.audit._MAX_RECENT", 4)

    async with opened(tmp_path) as store:
        audit = Audit(store, AuditSettings(denied_per_minute=5))

        for number in range(100):
            audit.refused(refusal(number, token=None, ip=f"10.0.0.{number}"))

        assert audit.pending() == 2 + 5


async def test_one_request_is_one_refusal_however_often_it_is_told(tmp_path: Path) -> None:
    """Admission tells it, and ingress tells it again."""
    async with opened(tmp_path) as store:
        audit = Audit(store)
        audit.refused(refusal(1))
        audit.refused(refusal(1))
        assert audit.pending() == 1
        silent = Audit(store, AuditSettings(denied=False))
        silent.refused(refusal(1))
        assert silent.pending() == 0


async def test_refused_calls_are_kept_and_absent_ones_like_hidden_ones(tmp_path: Path) -> None:
    """The log must not tell them apart by being there or not."""
    async with open_heart(tmp_path) as heart:
        caller = await heart.caller("blue", role="viewer")
        context = heart.resolve(await heart.token("blue"))
        admission = heart.core.admission

        with pytest.raises(PermissionDenied):
            admission.admit(caller, Target(kind=Kind.MODEL, name="up~open"), Action.EXECUTE)

        with pytest.raises(NotFound):
            admission.admit(context, Target(kind=Kind.MODEL, name="up~red"), Action.EXECUTE)

        other = heart.resolve(await heart.token("blue"))

        with pytest.raises(NotFound):
            await admission.pass_gates(
                other, Target(kind=Kind.MODEL, name="up~nothing"), Action.EXECUTE
            )

        await heart.core.audit.flush()
        absent, hidden, denied = await kept(heart.core.store)
        assert [row.action for row in (absent, hidden, denied)] == ["llm.invoke"] * 3
        assert [row.target for row in (absent, hidden)] == ["up~nothing", "up~red"]
        assert hidden.reason.replace("red", "nothing") == absent.reason
        assert denied.reason.startswith("permission_denied")


async def test_calls_are_kept_when_the_operator_wants_them(tmp_path: Path) -> None:
    """One entry for each, fallbacks apart; by default nobody is told."""
    async with open_heart(tmp_path) as heart:
        assert heart.core.admission.admitted is None

    other = tmp_path / "other"
    other.mkdir()

    async with open_heart(other, "\naudit: {calls: true}\n") as heart:
        caller = await heart.caller("red")
        target = Target(kind=Kind.MODEL, name="up~open")
        await heart.core.admission.pass_gates(caller, target, Action.EXECUTE)
        heart.core.admission.admit(caller, target, Action.EXECUTE)
        await heart.core.audit.flush()
        (row,) = await kept(heart.core.store)
        assert (row.action, row.target, row.decision) == ("llm.invoke", "up~open", "allowed")


async def test_entries_are_found_by_what_is_known_of_them(tmp_path: Path) -> None:
    """Each filter narrows; a family of actions is one; the newest come first."""
    async with opened(tmp_path) as store:
        audit = Audit(store)

        for action, target in (("users.create", "a"), ("users.delete", "a"), ("usersx.no", "b")):
            await audit.record(local_context(), AuditEntry(action=action, target=target))

        rows = tuple(reversed(await kept(store)))

        async def found(wanted: AuditFilter) -> list[str]:
            return [row.action for row in await store.audit.page(wanted, limit=10)]

        assert await found(AuditFilter(action="users.*")) == ["users.delete", "users.create"]
        assert await found(AuditFilter(action="users.create")) == ["users.create"]
        assert await found(AuditFilter(action="u%")) == []
        assert await found(AuditFilter(target="b")) == ["usersx.no"]
        assert await found(AuditFilter(since=rows[1].at, until=rows[2].at)) == ["users.delete"]
        assert await found(AuditFilter(request_id=rows[0].request_id)) == ["users.create"]
        assert await found(AuditFilter(decision="denied")) == []
        assert await found(AuditFilter(actor="nobody")) == []
        older = await store.audit.page(EVERYTHING, after=rows[1].id, limit=10)
        assert older == rows[:1]
        assert await store.audit.count() == 3


async def test_what_a_plugin_refuses_is_kept_where_the_call_is(tmp_path: Path) -> None:
    """Whoever ran the hooks: a call that ends as denied is told of with the plugin's code."""
    async with open_heart(tmp_path) as heart:
        caller = await heart.caller("red")
        admission = heart.core.admission
        target = Target(kind=Kind.MODEL, name="up~open")

        for status, code in ((Status.DENIED, "plugin.pii.card"), (Status.ERROR, "upstream_error")):
            permit = admission.admit(caller, target, Action.EXECUTE)
            await admission.settle(permit.id, Outcome(status=status, error_code=code, total_ms=1.0))

        await heart.core.audit.flush()
        (row,) = await kept(heart.core.store)
        assert (row.action, row.target, row.decision) == ("llm.invoke", "up~open", "denied")
        assert row.reason.startswith("plugin.pii.card: ")
