"""The session of a login: whose it is, what it may do, and when it ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio

from spindle.store.rows import UserRow
from tests.core.federation.browser import HOST, site

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

COOKIE = "__Host-spindle_session"
BEGUN = "__Secure-spindle_login"
ORIGIN = f"https://{HOST}"


async def test_a_disabled_person_is_out_at_once_and_stays_out_when_they_are_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        browser, core = gate.browser(), gate.heart.core
        await gate.log_in(browser)
        subject = gate.heart.resolve(browser.jar[COOKIE]).subject
        assert core.identity.is_current(subject)
        ann = await core.store.users.get("ann@example.com")
        assert ann is not None
        off = await core.store.users.change(ann, UserRow(email=ann.email, disabled_at=1.0))
        await core.snapshots.refresh()
        assert (await browser.go("GET", "/me")).status == 401
        assert not core.identity.is_current(subject)
        assert off is not None
        await core.store.users.change(off, UserRow(email=ann.email))
        await core.snapshots.refresh()
        assert (await browser.go("GET", "/me")).status == 401


async def test_memberships_are_the_databases_of_this_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        browser = gate.browser()
        await gate.log_in(browser)
        await gate.heart.core.store.teams.remove_member("red", "ann@example.com")
        await gate.heart.core.snapshots.refresh()
        assert (await browser.go("GET", "/me")).data["teams"] == []


async def test_a_request_that_changes_something_needs_a_sign_of_our_own_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cookie goes along by itself; the Origin of ours, or a header of ours, does not."""
    async with site(tmp_path, monkeypatch, origins=("*", "https://ui.example")) as gate:
        browser = gate.browser()
        await gate.log_in(browser)
        assert (await browser.go("GET", "/me")).status == 200

        for headers in ({}, {"origin": "https://evil.example"}, {"x_spindle_csrf": ""}):
            page = await browser.go("POST", "/me", **headers)
            assert (page.status, page.code) == (403, "core.csrf"), headers

        for headers in (
            {"origin": ORIGIN},
            {"origin": "https://ui.example"},
            {"x_spindle_csrf": "1"},
        ):
            assert (await browser.go("POST", "/me", **headers)).status == 200, headers

        text = await gate.heart.token("red")
        token = f"Bearer {text}"
        assert (await browser.go("POST", "/me", authorization=token)).data["email"] is None
        browser.jar[COOKIE] = text
        assert (await browser.go("GET", "/me")).status == 401, "a token is no cookie"


async def test_a_session_ends_when_it_is_old_or_idle_wherever_it_was_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch, session_idle_seconds=100, session_seconds=1000) as gate:
        browser, sessions = gate.browser(), gate.sessions
        await gate.log_in(browser)
        now = time.time()
        sessions.clock = lambda: now
        now += 90
        assert (await browser.go("GET", "/me")).status == 200
        await sessions.note()
        (row,) = await gate.heart.core.store.logins.live()
        assert row.seen_at == now
        await sessions.note()

        now += 150
        await gate.heart.core.store.logins.touch({row.id: now - 20})
        assert (await browser.go("GET", "/me")).status == 200, "another replica saw it"
        now += 150
        assert (await browser.go("GET", "/me")).status == 401
        assert sessions.count() == 0
        assert (await browser.go("GET", "/me")).status == 401

        await gate.log_in(browser)

        statuses: list[int] = []

        for _ in range(12):
            now += 90
            statuses.append((await browser.go("GET", "/me")).status)

        assert statuses == [200] * 11 + [401], "used all the time, and old nevertheless"


async def test_a_person_has_a_bounded_number_of_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch, sessions_per_person=2) as gate:
        browsers = [gate.browser() for _ in range(3)]

        for browser in browsers:
            await gate.log_in(browser)

        statuses = [(await browser.go("GET", "/me")).status for browser in browsers]

    assert statuses == [401, 200, 200]


async def test_logging_out_needs_a_login_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        browser = gate.browser()
        assert (await browser.go("POST", "/auth/logout")).status == 401
        token = f"Bearer {await gate.heart.token('red')}"
        page = await browser.go("POST", "/auth/logout", authorization=token)
        assert page.code == "core.login.no_session"


async def test_the_use_of_sessions_is_noted_beside_the_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        await gate.log_in(gate.browser())
        federation = gate.heart.core.federation
        assert federation is not None

        async with anyio.create_task_group() as group:
            group.start_soon(federation.run)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
