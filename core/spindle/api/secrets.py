"""`/admin/api/v1/secrets`: which secrets there are and where they are found; values go in only."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, get_args

from pydantic import Field, SecretStr

from spindle.api.paging import PAGE_KEYS, paged
from spindle.api.request import Body, etag_of
from spindle.api.response import Response, created, no_content, ok
from spindle.api.routing import ApiRoute
from spindle.audit import AuditEntry
from spindle.secret_inventory import SecretInfo, SecretInventory, State, check_deletable
from spindle_spi.errors import NotFound, shortened
from spindle_spi.policy import visible
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from spindle.api.request import Request
    from spindle.core import Core
    from spindle_spi.types import Json, JsonObject

_PATH = "/admin/api/v1/secrets"
_BODY_LIMIT = 262_144
STATES: Final[tuple[str, ...]] = get_args(State)


class SecretValue(Body):
    """What a PUT brings."""

    value: SecretStr = Field(strict=False)


async def list_secrets(core: Core, request: Request) -> Response:
    """List the secrets this caller may know of."""
    request.check_query(*PAGE_KEYS, "state")
    state = request.choice("state", STATES)
    shown = [info for info in await _shown(core, request) if state in (None, info.state)]
    return ok(paged(request, shown, key=lambda info: info.name, show=show))


async def get_secret(core: Core, request: Request) -> Response:
    """Show where one secret is found and used."""
    request.check_query()
    return _answer(await _one(core, request))


async def put_secret(core: Core, request: Request) -> Response:
    """Store a value under a name."""
    request.check_query()
    name = request.path("name")
    before = await _find(core, request, name)

    if before is None and not _sees_everything(request):
        raise _absent(name)

    wanted = await request.json(SecretValue)
    stored = None if before is None else before.stored

    if stored is not None or request.header("if-match") is not None:
        request.check_match(etag_of(0 if stored is None else stored.epoch))

    entry = AuditEntry(
        action="secrets.create" if stored is None else "secrets.update",
        target=name,
        target_kind="secret",
        client_ip=request.client_ip,
    )
    await core.vault.put(
        name,
        Secret(wanted.value.get_secret_value()),
        by=request.context.subject.user_email or request.context.subject.token_id or "",
        audit=[core.audit.row(request.context, entry)],
    )
    info = await _one(core, request)

    if stored is None:
        return created(show(info), f"{_PATH}/{name}", etag=_etag(info))

    return _answer(info)


async def delete_secret(core: Core, request: Request) -> Response:
    """Forget a stored secret that nothing refers to."""
    request.check_query()
    info = await _one(core, request)

    if info.stored is None:
        raise _absent(info.name)

    request.check_match(etag_of(info.stored.epoch))
    whole = next(each for each in await _all(core) if each.name == info.name)
    check_deletable(whole, info.used_by)
    entry = AuditEntry(
        action="secrets.delete",
        target=info.name,
        target_kind="secret",
        client_ip=request.client_ip,
    )
    await core.vault.delete(info.name, audit=[core.audit.row(request.context, entry)])
    return no_content()


async def rotate_secrets(core: Core, request: Request) -> Response:
    """Encrypt every stored secret with the first of the keys."""
    request.check_query()
    entry = AuditEntry(
        action="secrets.rotate", target="*", target_kind="secret", client_ip=request.client_ip
    )
    row = core.audit.row(request.context, entry)
    return ok({"rotated": await core.vault.rotate(audit=[row])})


ROUTES = (
    ApiRoute(
        method="GET", path=_PATH, permission="secrets.read", answer=list_secrets, is_platform=True
    ),
    ApiRoute(
        method="GET",
        path=f"{_PATH}/{{name:path}}",
        permission="secrets.read",
        answer=get_secret,
        is_platform=True,
    ),
    ApiRoute(
        method="PUT",
        path=f"{_PATH}/{{name:path}}",
        permission="secrets.update",
        answer=put_secret,
        body_limit=_BODY_LIMIT,
        is_platform=True,
    ),
    ApiRoute(
        method="DELETE",
        path=f"{_PATH}/{{name:path}}",
        permission="secrets.delete",
        answer=delete_secret,
        is_platform=True,
    ),
    ApiRoute(
        method="POST",
        path=f"{_PATH}/rotate",
        permission="secrets.rotate",
        answer=rotate_secrets,
        is_platform=True,
    ),
)


def show(info: SecretInfo) -> JsonObject:
    """Return a secret as the control plane and `spindle secrets` show it."""
    found, stored = info.found, info.stored
    used_by: list[Json] = [
        {"kind": record.kind.value, "name": record.name} for record in info.used_by
    ]
    places: list[Json] = [
        {"kind": place.kind, "where": place.where, "has_value": place.has_value}
        for place in info.places
    ]
    return {
        "name": info.name,
        "state": info.state,
        "found_in": None if found is None else found.kind,
        "places": places,
        "used_by": used_by,
        "key_id": None if stored is None else stored.key_id,
        "updated_at": None if stored is None else _iso(stored.updated_at),
        "updated_by": None if stored is None else stored.updated_by,
    }


async def _all(core: Core) -> tuple[SecretInfo, ...]:
    inventory = SecretInventory(core.store, core.secrets, core.vault)
    return await inventory.all(core.snapshots.current.by_id.values())


async def _shown(core: Core, request: Request) -> list[SecretInfo]:
    """Return what this caller may know of: all, or the secrets of records it sees."""
    shown: list[SecretInfo] = []

    for info in await _all(core):
        used_by = tuple(each for each in info.used_by if visible(request.context, each))

        if used_by or _sees_everything(request):
            shown.append(replace(info, used_by=used_by))

    return shown


async def _find(core: Core, request: Request, name: str) -> SecretInfo | None:
    return next((info for info in await _shown(core, request) if info.name == name), None)


async def _one(core: Core, request: Request) -> SecretInfo:
    name = request.path("name")
    info = await _find(core, request, name)

    if info is None:
        raise _absent(name)

    return info


def _sees_everything(request: Request) -> bool:
    subject = request.context.subject
    scope = request.context.visibility_scope
    return subject.is_admin and subject.token_teams is None and scope.server_id is None


def _absent(name: str) -> NotFound:
    return NotFound(f"There is no secret {shortened(name)!r}.", code="core.secret.not_found")


def _answer(info: SecretInfo) -> Response:
    return ok(show(info), etag=_etag(info))


def _etag(info: SecretInfo) -> str:
    return etag_of(0 if info.stored is None else info.stored.epoch)


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
