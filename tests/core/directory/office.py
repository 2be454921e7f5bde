"""A core behind its own ingress, and people to ask it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spindle.core import Core
from spindle.host import Host
from spindle.store import TokenRow
from spindle.tokens import mint
from spindle_spi.policy import ROLES
from tests.core.host_rig import rig

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.types import Message, Scope

BASE = "/admin/api/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def etag(self) -> str:
        return self.headers["etag"]


@dataclass(slots=True)
class Office:
    """Asks the control plane over the ingress."""

    core: Core
    host: Host

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None,
        match: str | None = None,
        client: str = "127.0.0.1",
        is_whole: bool = False,
    ) -> Reply:
        """Send a request to a path under the base, or to a whole one."""
        is_whole = is_whole or path.startswith("/invitations/spi_")
        whole, _, query = (path if is_whole else BASE + path).partition("?")
        headers = [(b"host", b"127.0.0.1:8080")]

        if token is not None:
            headers.append((b"authorization", f"Bearer {token}".encode()))

        if match is not None:
            headers.append((b"if-match", match.encode()))

        scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": whole,
            "raw_path": whole.encode(),
            "query_string": query.encode(),
            "headers": headers,
            "client": (client, 5),
        }
        sent = b"" if body is None else json.dumps(body).encode()
        events: list[Message] = [{"type": "http.request", "body": sent, "more_body": False}]
        parts: list[Message] = []

        async def receive() -> Message:
            return events.pop(0) if events else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            parts.append(message)

        await self.host.ingress(scope, receive, send)
        return Reply(
            status=parts[0]["status"],
            headers={name.decode(): value.decode() for name, value in parts[0]["headers"]},
            body=b"".join(part["body"] for part in parts[1:]),
        )

    async def give(self, **changes: Any) -> str:
        """Store a token as it was made before there were users; return its text."""
        secret, prefix, hashed = mint()
        role = changes.get("role", "developer")
        row = TokenRow(
            id=f"tok_{prefix}",
            name="given",
            prefix=prefix,
            hash=hashed,
            created_at=time.time(),
            permissions=ROLES.get(role, ()),
            role=role,
        )
        await self.core.store.tokens.create(replace(row, **changes))
        await self.core.snapshots.refresh()
        return secret.reveal()

    async def admin(self) -> str:
        """Return an administrator's token."""
        return await self.give(role="platform_admin", is_admin=True, teams=None)

    async def team(self, admin: str, name: str) -> None:
        """Make a team."""
        made = await self.ask("POST", "/teams", {"name": name}, token=admin)
        assert made.status == 201, made.body

    async def user(
        self,
        admin: str,
        email: str,
        *,
        role: str | None = None,
        is_admin: bool = False,
        **teams: str,
    ) -> str:
        """Make a user in some teams; return the text of a token of theirs."""
        body = {"email": email, "role": role, "is_admin": is_admin}
        made = await self.ask("POST", "/users", body, token=admin)
        assert made.status == 201, made.body

        for team, inside in teams.items():
            path = f"/teams/{team}/members/{email}"
            put = await self.ask("PUT", path, {"role": inside}, token=admin)
            assert put.status == 200, put.body

        token = await self.ask("POST", "/tokens", {"user": email}, token=admin)
        assert token.status == 201, token.body
        return str(token.json["token"])


@asynccontextmanager
async def open_office(home: Path) -> AsyncGenerator[Office]:
    """Open a core on a fresh store behind its ingress."""
    async with rig(home) as made:
        try:
            yield Office(made.core, made.host)
        finally:
            await made.core.close()
