"""`spindle user | team | role`: their commands and options."""

from __future__ import annotations

from typing import Annotated

import typer

from spindle.cli.options import HOME, AsJson, Config, Home, sources_of

user_app = typer.Typer(no_args_is_help=True, help="Keep users and service accounts.")
team_app = typer.Typer(no_args_is_help=True, help="Keep teams, and who belongs to them.")
role_app = typer.Typer(no_args_is_help=True, help="Look at roles, and keep your own.")

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The user's e-mail.")]
Team = Annotated[str, typer.Argument(metavar="TEAM", help="The team's name.")]
Role = Annotated[str, typer.Argument(metavar="ROLE", help="The role's name.")]
PlatformRole = Annotated[
    str | None, typer.Option("--role", help="What they may do everywhere, public records too.")
]
RoleInside = Annotated[str, typer.Option("--role", help="What they may do in the team.")]
Description = Annotated[str | None, typer.Option(help="For people.")]
Permission = Annotated[
    list[str] | None, typer.Option(help="family.verb, family.* or *; may be repeated.")
]


@user_app.command("create")
def create_user(  # noqa: PLR0913 - one parameter per option
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="E-mail, or a service's name.")],
    name: Annotated[str, typer.Option(help="For people.")] = "",
    role: PlatformRole = None,
    admin: Annotated[bool, typer.Option("--admin", help="Sees everything.")] = False,
    service: Annotated[
        bool, typer.Option("--service", help="A service account: used through its tokens alone.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Make a user. An administrator has --admin (what they see) and a role (what they may do)."""
    from spindle.cli import people

    people.create_user(
        sources_of(home, config),
        email,
        name=name,
        role=role,
        is_admin=admin,
        is_service=service,
        as_json=as_json,
    )


@user_app.command("list")
def list_users(as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """List users with their roles and teams."""
    from spindle.cli import people

    people.list_users(sources_of(home, config), as_json=as_json)


@user_app.command("show")
def show_user(
    email: Email, as_json: AsJson = False, config: Config = None, home: Home = HOME
) -> None:
    """Show a user."""
    from spindle.cli import people

    people.show_user(sources_of(home, config), email, as_json=as_json)


@user_app.command("update")
def update_user(  # noqa: PLR0913 - one parameter per option
    email: Email,
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    role: Annotated[
        str | None, typer.Option(help="Their role everywhere; '' takes it away.")
    ] = None,
    admin: Annotated[
        bool | None, typer.Option("--admin/--no-admin", help="Whether they see everything.")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Change a user; in force for all their tokens within a second."""
    from spindle.cli import people

    people.update_user(
        sources_of(home, config), email, name=name, role=role, is_admin=admin, as_json=as_json
    )


@user_app.command("disable")
def disable_user(
    email: Email, as_json: AsJson = False, config: Config = None, home: Home = HOME
) -> None:
    """Keep a user out; their tokens are dead until `enable`."""
    from spindle.cli import people

    people.update_user(sources_of(home, config), email, disabled=True, as_json=as_json)


@user_app.command("enable")
def enable_user(
    email: Email, as_json: AsJson = False, config: Config = None, home: Home = HOME
) -> None:
    """Let a disabled user in again."""
    from spindle.cli import people

    people.update_user(sources_of(home, config), email, disabled=False, as_json=as_json)


@user_app.command("delete")
def delete_user(
    email: Email, as_json: AsJson = False, config: Config = None, home: Home = HOME
) -> None:
    """Delete a user for good; their tokens are revoked."""
    from spindle.cli import people

    people.delete_user(sources_of(home, config), email, as_json=as_json)


@team_app.command("create")
def create_team(
    team: Team,
    description: Description = None,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Make a team."""
    from spindle.cli import people

    people.create_team(sources_of(home, config), team, description or "", as_json=as_json)


@team_app.command("list")
def list_teams(as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """List teams."""
    from spindle.cli import people

    people.list_teams(sources_of(home, config), as_json=as_json)


@team_app.command("show")
def show_team(
    team: Team, as_json: AsJson = False, config: Config = None, home: Home = HOME
) -> None:
    """Show a team's members and their roles in it."""
    from spindle.cli import people

    people.show_team(sources_of(home, config), team, as_json=as_json)


@team_app.command("update")
def update_team(
    team: Team,
    description: Annotated[str, typer.Option(help="For people.")],
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Change a team's description."""
    from spindle.cli import people

    people.update_team(sources_of(home, config), team, description, as_json=as_json)


@team_app.command("delete")
def delete_team(
    team: Team, as_json: AsJson = False, config: Config = None, home: Home = HOME
) -> None:
    """Delete a team without members, records and tokens."""
    from spindle.cli import people

    people.delete_team(sources_of(home, config), team, as_json=as_json)


@team_app.command("add-member")
def add_member(
    team: Team,
    email: Email,
    role: RoleInside = "developer",
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Make a user a member, or give a member another role."""
    from spindle.cli import people

    people.add_member(sources_of(home, config), team, email, role, as_json=as_json)


@team_app.command("remove-member")
def remove_member(
    team: Team, email: Email, as_json: AsJson = False, config: Config = None, home: Home = HOME
) -> None:
    """Take a member out of a team."""
    from spindle.cli import people

    people.remove_member(sources_of(home, config), team, email, as_json=as_json)


@team_app.command("invite")
def invite(  # noqa: PLR0913 - one parameter per option
    team: Team,
    role: RoleInside = "developer",
    platform_role: Annotated[
        str | None,
        typer.Option(help="For somebody new: what they may do everywhere, public records too."),
    ] = None,
    email: Annotated[str | None, typer.Option(help="For this person alone.")] = None,
    days: Annotated[float, typer.Option(help="How long it is open; 30 at most.")] = 7.0,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Make an invitation and print its link, once."""
    from spindle.cli import people

    people.invite(
        sources_of(home, config),
        team,
        role=role,
        platform_role=platform_role,
        email=email,
        days=days,
        as_json=as_json,
    )


@role_app.command("create")
def create_role(
    role: Role,
    permission: Permission = None,
    description: Description = None,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Make a custom role."""
    from spindle.cli import people

    people.create_role(
        sources_of(home, config), role, permission or (), description or "", as_json=as_json
    )


@role_app.command("list")
def list_roles(as_json: AsJson = False, config: Config = None, home: Home = HOME) -> None:
    """List roles with what they may do."""
    from spindle.cli import people

    people.list_roles(sources_of(home, config), as_json=as_json)


@role_app.command("show")
def show_role(
    role: Role, as_json: AsJson = False, config: Config = None, home: Home = HOME
) -> None:
    """Show what a role may do, a permission a line."""
    from spindle.cli import people

    people.show_role(sources_of(home, config), role, as_json=as_json)


@role_app.command("update")
def update_role(
    role: Role,
    permission: Permission = None,
    description: Description = None,
    as_json: AsJson = False,
    config: Config = None,
    home: Home = HOME,
) -> None:
    """Change a custom role; in force for everybody who has it within a second."""
    from spindle.cli import people

    people.update_role(
        sources_of(home, config), role, permission, description, as_json=as_json
    )  # fmt: skip


@role_app.command("delete")
def delete_role(
    role: Role, as_json: AsJson = False, config: Config = None, home: Home = HOME
) -> None:
    """Delete a custom role nobody has."""
    from spindle.cli import people

    people.delete_role(sources_of(home, config), role, as_json=as_json)
