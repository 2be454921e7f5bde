"""Secrets over REST: names, places and uses come out, values only go in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle.store.audit import AuditFilter
from spindle_spi.secret import Secret, SecretRef
from tests.core.catalog.desk import Desk, open_desk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = pytest.mark.requirement("000-core-secrets")
VALUE = "canary-provider-key-0123456789"
NAME = "llm.services.up.api_key"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def refer(desk: Desk, name: str = NAME, *, team: str | None = None) -> None:
    """Make the provider `up` refer to a secret."""
    from spindle_spi.records import Kind, ProviderSpec, Visibility

    record = desk.core.snapshots.current.by_name[Kind.PROVIDER, "up"]
    assert isinstance(record.spec, ProviderSpec)
    await desk.core.store.catalog.upsert(
        replace(
            record,
            spec=replace(record.spec, api_key=SecretRef(name=name)),
            visibility=Visibility.PUBLIC if team is None else Visibility.TEAM,
            team=team,
        )
    )
    await desk.core.snapshots.refresh()


async def test_a_secret_is_put_shown_changed_and_deleted_without_its_value(desk: Desk) -> None:
    """Every answer says where it is, no answer says what it is; the audit log has every change."""
    made = await desk.ask("PUT", "secrets/webhooks/main", {"value": VALUE})
    assert made.status == 201
    assert made.headers[b"location"] == b"/admin/api/v1/secrets/webhooks/main"
    changed = await desk.ask("PUT", "secrets/webhooks/main", {"value": f"{VALUE}2"})
    assert changed.status == 200
    assert changed.etag != made.etag
    read = await desk.ask("GET", "secrets/webhooks/main")
    assert read.data["state"] == "available"
    assert read.data["found_in"] == "database"
    assert desk.core.vault.reveal("webhooks/main") == Secret(f"{VALUE}2")
    listed = await desk.ask("GET", "secrets?state=available")
    assert listed.names == ["webhooks/main"]
    rotated = await desk.ask("POST", "secrets/rotate")
    assert rotated.data == {"rotated": 1}
    gone = await desk.ask("DELETE", "secrets/webhooks/main", match=changed.etag)
    assert gone.status == 204
    assert desk.core.vault.reveal("webhooks/main") is None
    assert (await desk.ask("GET", "secrets/webhooks/main")).status == 404
    answers = (made, changed, read, listed, rotated)
    assert not any(VALUE.encode() in answer.raw for answer in answers)
    rows = await desk.core.store.audit.page(AuditFilter(action="secrets.*"), limit=10)
    assert [row.action.removeprefix("secrets.") for row in reversed(rows)] == [
        "create",
        "update",
        "rotate",
        "delete",
    ]
    assert all(row.client_ip == "127.0.0.1" for row in rows)
    assert VALUE not in str(rows)


async def test_a_lost_update_is_refused(desk: Desk) -> None:
    """The tag names another state: of a secret that was changed, deleted, or never there."""
    made = await desk.ask("PUT", "secrets/a", {"value": VALUE})
    await desk.ask("PUT", "secrets/a", {"value": f"{VALUE}2"})
    late = await desk.ask("PUT", "secrets/a", {"value": "late-value"}, match=made.etag)
    assert (late.status, late.code) == (412, "core.record.changed")
    assert (await desk.ask("DELETE", "secrets/a", match=made.etag)).status == 412
    new = await desk.ask("PUT", "secrets/b", {"value": VALUE}, match=made.etag)
    assert new.status == 412
    assert desk.core.vault.reveal("a") == Secret(f"{VALUE}2")


async def test_a_secret_in_use_is_not_deleted(desk: Desk) -> None:
    """The answer names what uses it; another value may be put in its place."""
    await refer(desk)
    assert (await desk.ask("GET", "secrets?state=missing")).names == [NAME]
    missing = await desk.ask("DELETE", f"secrets/{NAME}")
    assert missing.status == 404
    assert (await desk.ask("PUT", f"secrets/{NAME}", {"value": VALUE})).status == 201
    kept = await desk.ask("DELETE", f"secrets/{NAME}")
    assert (kept.status, kept.code) == (409, "core.secret.in_use")
    assert "the provider 'up'" in kept.message
    read = await desk.ask("GET", f"secrets/{NAME}")
    assert read.data["used_by"] == [{"kind": "provider", "name": "up"}]


async def test_who_sees_a_part_of_the_records_sees_their_secrets_alone(desk: Desk) -> None:
    """Others are absent, byte for byte; and nobody learns whether a name is taken."""
    desk.tokens["keeper"] = await desk.heart.token("red", role="platform_admin")
    await desk.ask("PUT", "secrets/other", {"value": VALUE})
    await refer(desk, team="red")
    assert (await desk.ask("GET", "secrets", by="keeper")).names == [NAME]
    told = [await desk.ask("GET", f"secrets/{name}", by="keeper") for name in ("other", "never")]
    assert [answer.status for answer in told] == [404, 404]
    assert told[0].message.replace("other", "never") == told[1].message
    put = [
        await desk.ask("PUT", f"secrets/{name}", {"value": "x" * 20}, by="keeper")
        for name in ("other", "never")
    ]
    assert [answer.status for answer in put] == [404, 404]
    assert (await desk.ask("PUT", f"secrets/{NAME}", {"value": VALUE}, by="keeper")).status == 201
    await refer(desk, team="blue")
    assert (await desk.ask("GET", "secrets", by="keeper")).names == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "secrets"),
        ("GET", f"secrets/{NAME}"),
        ("PUT", f"secrets/{NAME}"),
        ("DELETE", f"secrets/{NAME}"),
        ("POST", "secrets/rotate"),
    ],
)
async def test_a_team_administrator_keeps_no_secrets(desk: Desk, method: str, path: str) -> None:
    """It needs a permission of its own; that it was tried is in the audit log."""
    refused = await desk.ask(method, path, {"value": VALUE}, by="red")
    assert refused.status == 403


@pytest.mark.parametrize("body", [{"value": 5}, {"value": ""}, {"valu": VALUE}, {}, VALUE])
async def test_a_body_that_is_none_is_refused_and_not_repeated(desk: Desk, body: object) -> None:
    """The fault is named by its path; a value that stands in the wrong place is not shown."""
    refused = await desk.ask("PUT", "secrets/a", body)  # type: ignore[arg-type]
    assert refused.status == 400
    assert VALUE.encode() not in refused.raw


async def test_parameters_nobody_knows_are_refused(desk: Desk) -> None:
    """On every route."""
    await desk.ask("PUT", "secrets/a", {"value": VALUE})

    for method, path in (
        ("GET", "secrets?x=1"),
        ("GET", "secrets/a?x=1"),
        ("PUT", "secrets/a?x=1"),
        ("DELETE", "secrets/a?x=1"),
        ("POST", "secrets/rotate?x=1"),
    ):
        assert (await desk.ask(method, path, {"value": VALUE})).status == 400, path
