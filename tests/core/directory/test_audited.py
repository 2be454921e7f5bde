"""What the audit log cannot take is not done: a change and its entry are one transaction."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from structlog.testing import capture_logs

from spindle.store.audit import AuditFilter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.core.directory.office import Office

ADA, BOB, EVE = "ada@example.org", "bob@example.org", "eve@example.org"


@asynccontextmanager
async def without_audit(office: Office) -> AsyncGenerator[None]:
    """A database in which nothing can be audited, and everything else can be done."""
    database = office.core.store.database

    async with database.writing() as connection:
        await connection.execute(text("ALTER TABLE audit RENAME TO elsewhere"))

    yield

    async with database.writing() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO audit"))


async def everything(office: Office) -> dict[str, Any]:
    """All there is, apart from when tokens were used."""
    store = office.core.store
    tokens = [asdict(row) for row in await store.tokens.all()]
    kept = [{k: v for k, v in token.items() if "last_used" not in k} for token in tokens]
    return {
        "people": await store.users.everybody(),
        "tokens": kept,
        "invitations": await store.invitations.all(),
        "revision": await store.revision(),
    }


async def test_a_change_of_people_that_cannot_be_audited_is_not_made(
    office: Office, admin: str
) -> None:
    """Every way to change users, teams, members, roles, tokens and invitations."""
    await office.team(admin, "red")
    await office.team(admin, "empty")
    ada = await office.user(admin, ADA, red="developer")
    role = {"name": "helper", "permissions": ["tools.read"]}
    await office.ask("POST", "/roles", role, token=admin)
    made = await office.ask("POST", "/tokens", {"unowned": True, "name": "x"}, token=admin)
    token = made.json["id"]
    wish = {"team": "red", "role": "developer"}
    links: list[Any] = [
        (await office.ask("POST", "/invitations", wish, token=admin)).json for _ in range(2)
    ]
    changes: tuple[tuple[str, str, object], ...] = (
        ("POST", "/users", {"email": BOB}),
        ("POST", "/service-accounts", {"name": "night"}),
        ("PATCH", f"/users/{ADA}", {"name": "A."}),
        ("DELETE", f"/users/{ADA}", None),
        ("POST", "/teams", {"name": "blue"}),
        ("PATCH", "/teams/red", {"description": "d"}),
        ("DELETE", "/teams/empty", None),
        ("PUT", f"/teams/red/members/{ADA}", {"role": "viewer"}),
        ("DELETE", f"/teams/red/members/{ADA}", None),
        ("POST", "/roles", {"name": "other", "permissions": ["tools.read"]}),
        ("PATCH", "/roles/helper", {"description": "d"}),
        ("DELETE", "/roles/helper", None),
        ("POST", "/tokens", {"name": "y"}),
        ("PATCH", f"/tokens/{token}", {"name": "z"}),
        ("POST", f"/tokens/{token}/rotate", None),
        ("DELETE", f"/tokens/{token}", None),
        ("POST", "/invitations", wish),
        ("DELETE", f"/invitations/{links[0]['id']}", None),
        ("POST", "/invitations/accept", {"secret": links[1]["secret"], "name": "B", "email": EVE}),
    )
    before = await everything(office)
    said = len(await office.core.store.audit.page(AuditFilter(), limit=200))

    with capture_logs() as said_of_it:
        async with without_audit(office):
            for method, path, body in changes:
                refused = await office.ask(
                    method, path, body, token=None if "accept" in path else admin
                )
                assert (method, path, refused.status) == (method, path, 500), refused.body

    assert len(said_of_it) >= len(changes)
    assert await everything(office) == before
    assert len(await office.core.store.audit.page(AuditFilter(), limit=200)) == said

    for number, (method, path, body) in enumerate(changes):
        if method != "DELETE":
            done = await office.ask(method, path, body, token=None if "accept" in path else admin)
            assert done.status in (200, 201), (path, done.body)
            said += 2 if "accept" in path else 1
            rows = await office.core.store.audit.page(AuditFilter(), limit=200)
            assert len(rows) == said, (number, path)

    assert (await office.ask("GET", "/users", token=ada)).status == 403
