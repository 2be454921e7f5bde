"""The administrator's token: minted at the first start, kept in a file only its owner can read."""

from __future__ import annotations

import getpass
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from spindle.home import ADMIN_TOKEN_FILE
from spindle.store import TokenRow
from spindle.tokens import PREFIX_LENGTH, hash_token, mint
from spindle_spi.context import AuthenticatedContext, Subject, TraceContext, VisibilityScope
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from spindle.store import Store

_ROLE = "platform_admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """Where the token is, and whether this start made it."""

    path: Path
    token: Secret
    is_new: bool


async def ensure_administrator(store: Store, home: Path) -> Administrator:
    """Make sure that the file holds a token the store knows.

    A token in the file that the store does not know (a new database under an old home) is taken
    over; one that was revoked stays revoked and is replaced.
    """
    path = home / ADMIN_TOKEN_FILE
    text = path.read_text().strip() if path.exists() else ""
    known = {row.hash: row for row in await store.tokens.all()}
    row = known.get(hash_token(text)) if text else None

    if row is not None and row.revoked_at is None:
        return Administrator(path=path, token=Secret(text), is_new=False)

    if text and row is None:
        await store.tokens.create(_row(text))
        return Administrator(path=path, token=Secret(text), is_new=False)

    token, _, _ = mint()
    _write_private(path, f"{token.reveal()}\n")
    await store.tokens.create(_row(token.reveal()))
    return Administrator(path=path, token=token, is_new=True)


async def recover_administrator(store: Store, home: Path) -> Administrator:
    """Mint another administrator's token into the file; the tokens that are there stay."""
    token, _, _ = mint()
    path = home / ADMIN_TOKEN_FILE
    # The file last: a token in it that the store does not know would be taken over later anyway.
    await store.tokens.create(_row(token.reveal()))
    _write_private(path, f"{token.reveal()}\n")
    return Administrator(path=path, token=token, is_new=True)


def local_context() -> AuthenticatedContext:
    """Return who a command on this machine acts as: who can read the database may do all of it."""
    return AuthenticatedContext(
        subject=Subject(user_email=f"local:{getpass.getuser()}", is_admin=True, token_teams=None),
        visibility_scope=VisibilityScope(permissions=("*",)),
        trace=TraceContext(request_id=f"cli_{uuid4().hex}"),
    )


def _row(text: str) -> TokenRow:
    return TokenRow(
        id=uuid4().hex,
        name="administrator",
        prefix=text[:PREFIX_LENGTH],
        hash=hash_token(text),
        created_at=time.time(),
        is_admin=True,
        teams=None,
        permissions=("*",),
        role=_ROLE,
    )


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    with os.fdopen(descriptor, "w") as file:
        file.write(text)
