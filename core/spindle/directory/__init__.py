"""People and what they may do, as administrators keep them: users, teams, roles, tokens.

The control plane and the commands act through these classes; each takes who acts, checks that they
may, writes, and records it. What the actor may not see is absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.directory.invitations import InvitationDesk
from spindle.directory.roles import RoleDesk
from spindle.directory.teams import TeamDesk
from spindle.directory.tokens import TokenDesk
from spindle.directory.users import UserDesk

if TYPE_CHECKING:
    from spindle.audit import Audit
    from spindle.store import Store

__all__ = ["Directory"]


class Directory:
    """One desk for each thing."""

    def __init__(self, store: Store, audit: Audit) -> None:
        self.users = UserDesk(store, audit)
        self.teams = TeamDesk(store, audit)
        self.roles = RoleDesk(store, audit)
        self.tokens = TokenDesk(store, audit)
        self.invitations = InvitationDesk(store, audit)
