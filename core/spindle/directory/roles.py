"""Roles: the built-in ones, which nobody changes, and custom ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.audit import AuditEntry
from spindle.authority import check_grant, need
from spindle.directory.holders import named
from spindle.directory.names import missing, name_of, overtaken, taken, text_of
from spindle.directory.shown import shown_role
from spindle.people import compile_people
from spindle.permissions import known_permissions, unknown_permissions
from spindle.store.rows import RoleRow
from spindle_spi.errors import Conflict, InvalidArgument
from spindle_spi.policy import ROLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle.audit import Audit
    from spindle.store import Store
    from spindle.store.audit import AuditRow
    from spindle_spi.context import AuthenticatedContext


class RoleDesk:
    """Keeps custom roles. Who may read roles may read all of them: they belong to nobody."""

    def __init__(self, store: Store, audit: Audit) -> None:
        self._store = store
        self._audit = audit

    async def all(self) -> list[RoleRow]:
        """Return every role, by name; the built-in ones have the epoch 0."""
        custom = [row for row in await self._store.roles.all() if row.name not in ROLES]
        built_in = [RoleRow(name=name, permissions=held) for name, held in ROLES.items()]
        return sorted([*built_in, *custom], key=lambda row: row.name)

    async def get(self, name: str) -> RoleRow:
        """Return one role.

        Raises:
            NotFound: There is none.
        """
        for role in await self.all():
            if role.name == name:
                return role

        raise missing("role", name)

    async def create(
        self,
        context: AuthenticatedContext,
        *,
        name: str,
        permissions: tuple[str, ...],
        description: str = "",
        more: Iterable[str] = (),
    ) -> RoleRow:
        """Make a custom role; `more` are permissions that modules' routes need.

        Raises:
            PermissionDenied: The caller may not, or does not hold all that the role may do.
            Conflict: The name is taken.
        """
        need(context, "roles.create")
        held = _checked(context, name_of("name", name), permissions, more)
        text = text_of("description", description)

        def told(role: RoleRow) -> AuditRow:
            entry = AuditEntry(action="roles.create", target=name, after=shown_role(role))
            return self._audit.row(context, entry)

        if name in ROLES or not await self._store.roles.create(name, text, held, told):
            raise taken("role", name)

        return await self.get(name)

    async def change(
        self,
        context: AuthenticatedContext,
        before: RoleRow,
        *,
        permissions: tuple[str, ...] | None = None,
        description: str | None = None,
        more: Iterable[str] = (),
    ) -> RoleRow:
        """Change a custom role as it was read.

        Raises:
            PermissionDenied: The caller may not, or does not hold all of before or after.
            Conflict: It is built in, or nobody could administer the gateway any more.
            FailedPrecondition: Somebody else changed it meanwhile (412).
        """
        need(context, "roles.update")
        _refuse_built_in(before)
        check_grant(context, before.name, before.permissions)
        held = before.permissions

        if permissions is not None:
            held = _checked(context, before.name, permissions, more)

        text = before.description if description is None else text_of("description", description)

        def told(after: RoleRow) -> AuditRow:
            entry = AuditEntry(
                action="roles.update",
                target=before.name,
                before=shown_role(before),
                after=shown_role(after),
            )
            return self._audit.row(context, entry)

        epoch = before.epoch

        if not await self._store.roles.update(before.name, text, held, epoch=epoch, told=told):
            raise overtaken("role", before.name)

        return await self.get(before.name)

    async def delete(self, context: AuthenticatedContext, role: RoleRow) -> None:
        """Delete a custom role nobody has.

        Raises:
            PermissionDenied: The caller may not, or does not hold all that the role may do.
            Conflict: It is built in, or somebody has it; the message names them.
        """
        need(context, "roles.delete")
        _refuse_built_in(role)
        check_grant(context, role.name, role.permissions)
        entry = AuditEntry(action="roles.delete", target=role.name, before=shown_role(role))
        used = await self._store.roles.delete(role.name, [self._audit.row(context, entry)])

        if used:
            people = compile_people(await self._store.users.everybody())
            raise Conflict(
                f"The role {role.name!r} is that of {named(context, used, people)}: "
                "give them another one first.",
                code="core.role.in_use",
            )


def _refuse_built_in(role: RoleRow) -> None:
    if role.name in ROLES:
        raise Conflict(
            f"The role {role.name!r} is built in: make a role of your own instead.",
            code="core.role.built_in",
        )


def _checked(
    context: AuthenticatedContext, name: str, permissions: tuple[str, ...], more: Iterable[str]
) -> tuple[str, ...]:
    unknown = unknown_permissions(permissions, known_permissions(more))

    if unknown:
        raise InvalidArgument(f"permissions: not known: {', '.join(sorted(unknown))}.")

    check_grant(context, name, permissions)
    return tuple(sorted(set(permissions)))
