"""What is shown of people and tokens, in answers, in commands and in the audit log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.store import TokenRow
    from spindle.store.rows import InvitationRow, MembershipRow, RoleRow, TeamRow, UserRow
    from spindle_spi.types import Json, JsonObject


def shown_user(user: UserRow, memberships: Sequence[MembershipRow]) -> JsonObject:
    """Return a user with their roles by team."""
    return {
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "is_admin": user.is_admin,
        "is_service": user.is_service,
        "disabled": user.disabled_at is not None,
        "teams": {row.team: row.role for row in memberships if row.email == user.email},
        "origin": user.origin,
        "issuer": user.issuer,
        "created_at": moment(user.created_at),
        "updated_at": moment(user.updated_at),
    }


def shown_team(team: TeamRow) -> JsonObject:
    """Return a team."""
    return {
        "name": team.name,
        "description": team.description,
        "origin": team.origin,
        "created_at": moment(team.created_at),
        "updated_at": moment(team.updated_at),
    }


def shown_member(member: MembershipRow) -> JsonObject:
    """Return a member of a team."""
    return {
        "email": member.email,
        "team": member.team,
        "role": member.role,
        "origin": member.origin,
        "created_at": moment(member.created_at),
    }


def shown_role(role: RoleRow, *, is_built_in: bool = False) -> JsonObject:
    """Return a role."""
    return {
        "name": role.name,
        "description": role.description,
        "permissions": list(role.permissions),
        "built_in": is_built_in,
        "updated_at": None if is_built_in else moment(role.updated_at),
    }


def shown_invitation(invitation: InvitationRow) -> JsonObject:
    """Return an invitation, without its secret."""
    return {
        "id": invitation.id,
        "team": invitation.team,
        "role": invitation.role,
        "platform_role": invitation.platform_role,
        "email": invitation.email,
        "created_by": invitation.created_by,
        "created_at": moment(invitation.created_at),
        "expires_at": moment(invitation.expires_at),
        "revoked_at": moment(invitation.revoked_at),
        "accepted_at": moment(invitation.accepted_at),
        "accepted_by": invitation.accepted_by,
    }


def shown_token(token: TokenRow) -> JsonObject:
    """Return a token, never its text."""
    hours: list[Json] = [
        {
            "days": list(window.days),
            "start_minute": window.start_minute,
            "end_minute": window.end_minute,
        }
        for window in token.time_restrictions
    ]
    return {
        "id": token.id,
        "name": token.name,
        "prefix": token.prefix,
        "role": token.role,
        "user": token.user_email,
        "admin": token.is_admin,
        "teams": None if token.teams is None else list(token.teams),
        "permissions": list(token.permissions),
        "server_id": token.server_id,
        "addresses": list(token.ip_restrictions),
        "hours": hours,
        "created_at": moment(token.created_at),
        "created_by": token.created_by,
        "expires_at": moment(token.expires_at),
        "revoked_at": moment(token.revoked_at),
        "last_used_at": moment(token.last_used_at),
        "last_used_ip": token.last_used_ip,
    }


def moment(at: float | None) -> str | None:
    """Return seconds since the epoch as an ISO date in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
