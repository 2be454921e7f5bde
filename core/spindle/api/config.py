"""`/admin/api/v1/config`: the catalog as one document, its plan, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.api.paging import PAGE_KEYS, paged
from spindle.api.request import Body, parse
from spindle.api.response import Response, ok
from spindle.api.routing import ApiRoute
from spindle.bundles.document import MAX_BYTES, read_bundle
from spindle.bundles.service import Wish, show_plan, show_version
from spindle_spi.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from spindle.api.request import Request
    from spindle.bundles.document import Bundle
    from spindle.bundles.planning import Plan
    from spindle.core import Core
    from spindle.store.versions import VersionRow
    from spindle_spi.types import JsonObject

_PATH = "/admin/api/v1/config"
_VERSION = f"{_PATH}/versions/{{id}}"
_YAML = "application/yaml"


class RollbackBody(Body):
    """What a rollback may say."""

    note: str = ""


async def export(core: Core, request: Request) -> Response:
    """Return what the caller may change, as a bundle in YAML, or in JSON when that is asked for."""
    request.check_query("all")
    everything = _flag(request, "all")
    bundle = await core.bundles.export(request.context, everything=everything)
    headers = {"etag": f'"{await core.bundles.revision()}"'}

    if "json" in (request.header("accept") or ""):
        return Response(body=bundle, headers=headers)

    from spindle.bundles.writing import to_yaml

    return Response(body=to_yaml(bundle), content_type=_YAML, headers=headers)


async def plan(core: Core, request: Request) -> Response:
    """Say what a bundle would change, and everything that is wrong with it; change nothing."""
    request.check_query("prune")
    bundle = await _bundle(request)
    found, revision = await core.bundles.plan(
        request.context, bundle, prune=_flag(request, "prune")
    )
    return ok({**show_plan(found, bundle), "revision": revision}, etag=f'"{revision}"')


async def apply(core: Core, request: Request) -> Response:
    """Carry a bundle out as a whole, or not at all."""
    request.check_query("prune", "note")
    bundle = await _bundle(request)
    wish = Wish(
        prune=_flag(request, "prune"),
        revision=_expected(request),
        note=request.query.get("note", ""),
    )
    found, version = await core.bundles.apply(request.context, bundle, wish)
    return _applied(found, version, bundle)


async def list_versions(core: Core, request: Request) -> Response:
    """List what bundles changed, the newest first."""
    request.check_query(*PAGE_KEYS)
    rows = await core.bundles.versions(request.context)
    # Pages go up by key; so the newest has the least.
    page = paged(request, rows, key=lambda row: f"{2**63 - row.id:020}", show=show_version)
    return ok(page)


async def get_version(core: Core, request: Request) -> Response:
    """Show one version with the records before and after."""
    request.check_query()
    row = await core.bundles.version(request.context, _number(request))
    return ok(show_version(row, whole=True))


async def rollback(core: Core, request: Request) -> Response:
    """Go back to what was before a version; this makes a version, too."""
    request.check_query()
    data = await request.body()
    wanted = RollbackBody() if not data else parse(RollbackBody, data)
    found, version = await core.bundles.rollback(request.context, _number(request), wanted.note)
    return _applied(found, version, None)


def _applied(plan: Plan, version: VersionRow | None, bundle: Bundle | None) -> Response:
    shown: JsonObject = show_plan(plan, bundle)
    return ok({**shown, "version": None if version is None else version.id})


async def _bundle(request: Request) -> Bundle:
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    return read_bundle(await request.body(), is_json=kind.endswith("json"))


def _expected(request: Request) -> str | None:
    wanted = request.header("if-match")
    return None if wanted in (None, "*") else str(wanted).removeprefix("W/").strip('"')


def _flag(request: Request, name: str) -> bool:
    said = request.query.get(name, "false")

    if said not in ("true", "false"):
        raise InvalidArgument(f"{name}: expected true or false.")

    return said == "true"


def _number(request: Request) -> int:
    said = request.path("id")

    if not said.isascii() or not said.isdigit() or len(said) > 18:
        raise NotFound(
            f"There is no version {said[:40]}; the list of versions names those there are.",
            code="core.version.not_found",
        )

    return int(said)


ROUTES = (
    ApiRoute(method="GET", path=f"{_PATH}/export", permission="config.read", answer=export),
    ApiRoute(
        method="POST",
        path=f"{_PATH}/plan",
        permission="config.update",
        answer=plan,
        body_limit=MAX_BYTES,
    ),
    ApiRoute(
        method="POST",
        path=f"{_PATH}/apply",
        permission="config.update",
        answer=apply,
        body_limit=MAX_BYTES,
    ),
    ApiRoute(
        method="GET", path=f"{_PATH}/versions", permission="config.read", answer=list_versions
    ),
    ApiRoute(method="GET", path=_VERSION, permission="config.read", answer=get_version),
    ApiRoute(
        method="POST",
        path=f"{_VERSION}/rollback",
        permission="config.update",
        answer=rollback,
    ),
)
