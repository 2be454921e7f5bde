"""Users, service accounts, teams, members, invitations, roles, tokens, and who one is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle.api.documentation.shapes import (
    FLAG,
    IF_MATCH,
    MAYBE_MOMENT,
    MAYBE_TEXT,
    MOMENT,
    PAGE,
    TEXT,
    TEXTS,
    WHOLE,
    body_of,
    described,
    filters,
    many,
    page_of,
    read,
    record,
    removal,
    write,
)
from spindle.api.invitations import Acceptance, NewInvitation
from spindle.api.roles import ChangedRole, NewRole
from spindle.api.teams import ChangedTeam, Member, NewTeam
from spindle.api.tokens import ChangedToken, NewToken
from spindle.api.users import ChangedUser, NewService, NewUser
from spindle_spi.operation import OperationDoc, ResponseDoc

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

_BASE: Final = "/admin/api/v1"
_BY_NAME: Final[JsonObject] = {"type": "object", "additionalProperties": {"type": "string"}}
_TEXTS_BY_NAME: Final[JsonObject] = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": {"type": "string"}},
}
_MAYBE_TEXTS: Final[JsonObject] = {"type": ["array", "null"], "items": {"type": "string"}}

USER: Final = record(
    "ShownUser",
    email=TEXT,
    name=TEXT,
    role=MAYBE_TEXT,
    is_admin=FLAG,
    is_service=FLAG,
    disabled=FLAG,
    teams=_BY_NAME,
    origin=TEXT,
    issuer=MAYBE_TEXT,
    created_at=MOMENT,
    updated_at=MOMENT,
)
TEAM: Final = record(
    "ShownTeam",
    name=TEXT,
    description=TEXT,
    origin=TEXT,
    created_at=MOMENT,
    updated_at=MOMENT,
)
MEMBER: Final = record(
    "ShownMember", email=TEXT, team=TEXT, role=TEXT, origin=TEXT, created_at=MOMENT
)
ROLE: Final = record(
    "ShownRole",
    name=TEXT,
    description=TEXT,
    permissions=TEXTS,
    built_in=FLAG,
    updated_at=MAYBE_MOMENT,
)
_INVITATION: Final[dict[str, JsonObject]] = {
    "id": TEXT,
    "team": TEXT,
    "role": TEXT,
    "platform_role": MAYBE_TEXT,
    "email": MAYBE_TEXT,
    "created_by": MAYBE_TEXT,
    "created_at": MOMENT,
    "expires_at": MOMENT,
    "revoked_at": MAYBE_MOMENT,
    "accepted_at": MAYBE_MOMENT,
    "accepted_by": MAYBE_TEXT,
}
INVITATION: Final = record("ShownInvitation", **_INVITATION)
_TOKEN: Final[dict[str, JsonObject]] = {
    "id": TEXT,
    "name": TEXT,
    "prefix": TEXT,
    "role": MAYBE_TEXT,
    "user": MAYBE_TEXT,
    "admin": FLAG,
    "teams": _MAYBE_TEXTS,
    "permissions": TEXTS,
    "server_id": MAYBE_TEXT,
    "addresses": TEXTS,
    "hours": many(
        record("ShownHours", days=many(WHOLE), start_minute=WHOLE, end_minute=WHOLE),
    ),
    "created_at": MOMENT,
    "created_by": MAYBE_TEXT,
    "expires_at": MAYBE_MOMENT,
    "revoked_at": MAYBE_MOMENT,
    "last_used_at": MAYBE_MOMENT,
    "last_used_ip": MAYBE_TEXT,
}
TOKEN: Final = record("ShownToken", **_TOKEN)
_MINTED: Final = record("MintedToken", token=TEXT, **_TOKEN)

_ACCEPTED: Final = record(
    "AcceptedInvitation",
    optional=("token", "token_id"),
    team=TEXT,
    role=TEXT,
    user=MAYBE_TEXT,
    token=TEXT,
    token_id=TEXT,
)
_OFFER: Final = record(
    "OfferedInvitation",
    team=TEXT,
    role=TEXT,
    email=MAYBE_TEXT,
    expires_at=MOMENT,
    accept=TEXT,
    how=TEXT,
)
_ME: Final = record(
    "Me",
    user=MAYBE_TEXT,
    name=TEXT,
    token_id=MAYBE_TEXT,
    is_admin=FLAG,
    sees_everything=FLAG,
    teams=_MAYBE_TEXTS,
    permissions=TEXTS,
    team_permissions=_TEXTS_BY_NAME,
    server_id=MAYBE_TEXT,
    expires_at=MAYBE_MOMENT,
)


def _people(path: str, word: str, new: type[NewUser] | type[NewService]) -> dict[str, OperationDoc]:
    one = f"{path}/{{email}}"
    return {
        f"GET {path}": read(f"List the {word}s one may know of", page_of(USER), query=PAGE),
        f"POST {path}": write(f"Make a {word}", USER, body_of(new), status=201),
        f"GET {one}": read(f"Show a {word}", USER),
        f"PATCH {one}": write(
            f"Change a {word}", USER, body_of(ChangedUser), parameters=(IF_MATCH,)
        ),
        f"DELETE {one}": removal(f"Delete a {word}; their tokens are revoked"),
    }


def _login() -> dict[str, OperationDoc]:
    # A redirect says everything in its headers.
    away = ResponseDoc(description="Go there.")
    return {
        "GET /auth/login": OperationDoc(
            summary="Begin a login at the identity provider",
            parameters=filters("return_to"),
            responses={"302": away},
            refusals=(404, 502),
        ),
        "GET /auth/callback": OperationDoc(
            summary="Come back from the identity provider",
            description="What else a provider adds to the query is not looked at.",
            parameters=filters("state", "code", "iss", "error", "error_description"),
            responses={"303": away},
            refusals=(401, 404, 429, 502),
        ),
        "POST /auth/logout": OperationDoc(
            summary="End one's login session",
            responses={"204": ResponseDoc(description="It has ended.")},
            refusals=(404,),
        ),
    }


def people() -> dict[str, OperationDoc]:
    """Return the operations of this area, by route."""
    return {
        f"GET {_BASE}/me": read("Show who one is here, and what one may do", _ME),
        **_people(f"{_BASE}/users", "user", NewUser),
        **_people(f"{_BASE}/service-accounts", "service account", NewService),
        **_teams(),
        **_invitations(),
        **_roles(),
        **_tokens(),
        **_login(),
    }


def _teams() -> dict[str, OperationDoc]:
    path = f"{_BASE}/teams"
    one = f"{path}/{{team}}"
    member = f"{one}/members/{{email}}"
    return {
        f"GET {path}": read("List the teams one may know of", page_of(TEAM), query=PAGE),
        f"POST {path}": write("Make a team", TEAM, body_of(NewTeam), status=201),
        f"GET {one}": read("Show a team", TEAM),
        f"PATCH {one}": write("Change a team", TEAM, body_of(ChangedTeam), parameters=(IF_MATCH,)),
        f"DELETE {one}": removal("Delete an empty team"),
        f"GET {one}/members": read("List the members of a team", page_of(MEMBER), query=PAGE),
        f"PUT {member}": write(
            "Make somebody a member, or give a member another role", MEMBER, body_of(Member)
        ),
        f"DELETE {member}": removal("Take somebody out of a team", is_matched=False),
    }


def _invitations() -> dict[str, OperationDoc]:
    path = f"{_BASE}/invitations"
    one = f"{path}/{{invitation}}"
    made = record("NewlyInvited", link=TEXT, secret=TEXT, **_INVITATION)
    return {
        f"GET {path}": read(
            "List the invitations to teams one may invite to", page_of(INVITATION), query=PAGE
        ),
        f"POST {path}": write(
            "Make an invitation; its link is shown this once",
            made,
            body_of(NewInvitation),
            status=201,
        ),
        f"GET {one}": read("Show an invitation", INVITATION),
        f"DELETE {one}": removal("Revoke an open invitation", is_matched=False),
        f"POST {path}/accept": described(
            write(
                "Take an invitation",
                _ACCEPTED,
                body_of(Acceptance),
                refusals=(401, 404, 409),
            ),
            "With a credential as that person, without one as somebody new.",
        ),
        "GET /invitations/{secret}": read("Show what an invitation offers", _OFFER),
    }


def _roles() -> dict[str, OperationDoc]:
    path = f"{_BASE}/roles"
    one = f"{path}/{{role}}"
    return {
        f"GET {path}": read("List every role", page_of(ROLE), query=PAGE),
        f"POST {path}": write("Make a custom role", ROLE, body_of(NewRole), status=201),
        f"GET {one}": read("Show a role", ROLE),
        f"PATCH {one}": write(
            "Change a custom role", ROLE, body_of(ChangedRole), parameters=(IF_MATCH,)
        ),
        f"DELETE {one}": removal("Delete a custom role nobody has"),
    }


def _tokens() -> dict[str, OperationDoc]:
    path = f"{_BASE}/tokens"
    one = f"{path}/{{token}}"
    return {
        f"GET {path}": read("List the tokens one may know of", page_of(TOKEN), query=PAGE),
        f"POST {path}": write(
            "Make a token; its text is shown this once", _MINTED, body_of(NewToken), status=201
        ),
        f"GET {one}": read("Show a token, never its text", TOKEN),
        f"PATCH {one}": write(
            "Change the name or the limits of a token",
            TOKEN,
            body_of(ChangedToken),
            parameters=(IF_MATCH,),
        ),
        f"DELETE {one}": removal("Revoke a token for good"),
        f"POST {one}/rotate": write(
            "Give a token a new text, shown this once", _MINTED, parameters=(IF_MATCH,)
        ),
    }
