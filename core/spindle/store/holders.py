"""Who keeps a role or a team from being deleted, with what tells who may know of them."""

from __future__ import annotations

from dataclasses import dataclass

from spindle.store.rows import TokenRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One user, member, record, token or invitation."""

    text: str
    """For people: `the user ada@example.org`."""
    email: str | None = None
    """Of a user."""
    team: str | None = None
    """The team whose members know of it."""
    token: TokenRow | None = None
    is_private: bool = False
    """Known to `email` alone, its owner."""
