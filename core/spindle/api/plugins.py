"""`/admin/api/v1/plugins`: which plugins judge content, and what they would say to a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import JsonValue

from spindle.api.paging import PAGE_KEYS, paged
from spindle.api.request import Body, etag_of
from spindle.api.response import Response, created, no_content, ok
from spindle.api.routing import ApiRoute
from spindle.config.plugins import OnError, PluginConditions, PluginEntry
from spindle.plugins.administration import Actor, epoch_of, show_installed
from spindle.plugins.dry_run import Sample, make_sample, show_verdict
from spindle_spi.plugin import HookPhase, PluginMode

if TYPE_CHECKING:
    from spindle.api.request import Request
    from spindle.core import Core
    from spindle.plugins.policy import Installed

_PATH = "/admin/api/v1/plugins"
_ONE = f"{_PATH}/{{name}}"
_BODY_LIMIT = 262_144


class NewPlugin(PluginEntry, Body):
    """What a POST brings: an entry as in the configuration."""


class PluginChanges(Body):
    """What a PATCH brings: the keys that change; null puts one back to its default."""

    plugin: str | None = None
    mode: PluginMode | None = None
    priority: int | None = None
    phases: tuple[HookPhase, ...] | None = None
    conditions: PluginConditions | None = None
    budget_seconds: float | None = None
    on_error: OnError | None = None
    config: dict[str, JsonValue] | None = None


class SampleBody(Body):
    """A sample: exactly one of text, arguments and messages."""

    text: str | None = None
    arguments: dict[str, JsonValue] | None = None
    messages: tuple[JsonValue, ...] | None = None
    phase: HookPhase = HookPhase.PRE_INVOKE

    def sample(self) -> Sample:
        """Return what a plugin is shown.

        Raises:
            InvalidArgument: Not exactly one of them is given.
        """
        return make_sample(
            text=self.text, arguments=self.arguments, messages=self.messages, phase=self.phase
        )


class Trial(Body):
    """An entry, and what it is shown."""

    entry: PluginEntry
    sample: SampleBody


class InstalledTrial(Body):
    """What an entry that is there is shown."""

    sample: SampleBody


async def list_plugins(core: Core, request: Request) -> Response:
    """List the entries, and what else can be configured."""
    request.check_query(*PAGE_KEYS)
    admin = core.plugin_administration
    found = admin.all(request.context)
    page = paged(request, found, key=lambda each: each.name, show=show_installed)
    return ok({**page, "available": [*admin.available()]})


async def get_plugin(core: Core, request: Request) -> Response:
    """Show one entry."""
    request.check_query()
    return _answer(_one(core, request))


async def create_plugin(core: Core, request: Request) -> Response:
    """Store an entry; it judges the next call."""
    request.check_query()
    entry = await request.json(NewPlugin)
    found = await core.plugin_administration.create(
        _actor(request), PluginEntry.model_validate(dict(entry))
    )
    return created(show_installed(found), f"{_PATH}/{found.name}", etag=etag_of(epoch_of(found)))


async def change_plugin(core: Core, request: Request) -> Response:
    """Change some keys of an entry."""
    request.check_query()
    found = _one(core, request)
    request.check_match(etag_of(epoch_of(found)))
    changes = await request.json(PluginChanges)
    wanted = changes.model_dump(mode="json", exclude_unset=True)
    return _answer(await core.plugin_administration.update(_actor(request), found, wanted))


async def delete_plugin(core: Core, request: Request) -> Response:
    """Delete an entry."""
    request.check_query()
    found = _one(core, request)
    request.check_match(etag_of(epoch_of(found)))
    await core.plugin_administration.remove(_actor(request), found)
    return no_content()


async def try_entry(core: Core, request: Request) -> Response:
    """Show a sample to an entry that is not there."""
    request.check_query()
    trial = await request.json(Trial)
    verdict = await core.plugin_administration.try_entry(
        request.context, trial.entry, trial.sample.sample()
    )
    return ok(show_verdict(verdict))


async def try_plugin(core: Core, request: Request) -> Response:
    """Show a sample to an entry that is there."""
    request.check_query()
    found = _one(core, request)
    trial = await request.json(InstalledTrial)
    verdict = await core.plugin_administration.try_installed(
        request.context, found, trial.sample.sample()
    )
    return ok(show_verdict(verdict))


def _one(core: Core, request: Request) -> Installed:
    return core.plugin_administration.get(request.context, request.path("name"))


def _answer(found: Installed) -> Response:
    return ok(show_installed(found), etag=etag_of(epoch_of(found)))


def _actor(request: Request) -> Actor:
    return Actor(context=request.context, client_ip=request.client_ip)


ROUTES = (
    ApiRoute(method="GET", path=_PATH, permission="plugins.read", answer=list_plugins),
    ApiRoute(
        method="POST",
        path=_PATH,
        permission="plugins.create",
        answer=create_plugin,
        body_limit=_BODY_LIMIT,
        is_platform=True,
    ),
    ApiRoute(
        method="POST",
        path=f"{_PATH}/try",
        permission="plugins.create",
        answer=try_entry,
        body_limit=_BODY_LIMIT,
        is_platform=True,
    ),
    ApiRoute(method="GET", path=_ONE, permission="plugins.read", answer=get_plugin),
    ApiRoute(
        method="PATCH",
        path=_ONE,
        permission="plugins.update",
        answer=change_plugin,
        body_limit=_BODY_LIMIT,
        is_platform=True,
    ),
    ApiRoute(
        method="DELETE",
        path=_ONE,
        permission="plugins.delete",
        answer=delete_plugin,
        is_platform=True,
    ),
    ApiRoute(
        method="POST",
        path=f"{_ONE}/try",
        permission="plugins.execute",
        answer=try_plugin,
        body_limit=_BODY_LIMIT,
        is_platform=True,
    ),
)
