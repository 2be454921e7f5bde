"""Who wants to hear that a list of theirs or a resource changed, and telling them; nobody else.

Before 2026: open sessions, over their own stream. Since: streams of `subscriptions/listen`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio
import mcp_types as types
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp.shared.exceptions import MCPError
from mcp_types.jsonrpc import INVALID_REQUEST

from spindle_mcp.surface.exchange import Asked, take
from spindle_mcp.surface.shares import Shares
from spindle_spi.errors import GatewayError, Unavailable
from spindle_spi.records import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp.server import ServerRequestContext
    from mcp.server.session import ServerSession

    from spindle_mcp.surface.shelf.subscriptions import Subscriptions, Watching
    from spindle_mcp.surface.shelf.views import Place, Views
    from spindle_spi.catalog import CatalogService

_MAX_STREAMS: Final = 1024
_PATIENCE: Final = 1.0
_KINDS: Final = {
    "tools": (Kind.TOOL,),
    "prompts": (Kind.PROMPT,),
    "resources": (Kind.RESOURCE, Kind.RESOURCE_TEMPLATE),
}
"""Kinds of records in each list that the protocol tells changes of."""
_CHANGED: Final = {
    "tools": types.ToolListChangedNotification,
    "prompts": types.PromptListChangedNotification,
    "resources": types.ResourceListChangedNotification,
}

_Keys = dict[str, tuple[str, ...]]


class _Listener:
    """One client, what its lists were when it last heard of them, and the news for it."""

    __slots__ = ("asked", "keys", "news", "session", "session_id", "updated", "woken")

    def __init__(
        self,
        asked: Asked,
        keys: _Keys,
        session: ServerSession | None = None,
        session_id: str = "",
    ) -> None:
        self.asked = asked
        self.keys = keys
        self.session = session
        self.session_id = session_id
        self.news: set[str] = set()
        """Lists that changed and that it has not been told of."""
        self.updated: set[str] = set()
        """The same for resources, by the URIs it asked for; bounded as those are."""
        self.woken = anyio.Event()


class Listeners:
    """The listeners of both eras. `run` follows the catalog and what upstreams announce."""

    def __init__(
        self,
        catalog: CatalogService,
        views: Views,
        subscriptions: Subscriptions,
        *,
        max_sessions: int,
    ) -> None:
        self._catalog = catalog
        self._views = views
        self._subscriptions = subscriptions
        self._max_sessions = max_sessions
        self._shares = Shares(_MAX_STREAMS)
        self._sessions: dict[str, _Listener] = {}
        self._streams: set[_Listener] = set()
        self._has_changed = anyio.Event()
        self._is_closing = False

    def __len__(self) -> int:
        return len(self._sessions) + len(self._streams)

    def close(self) -> None:
        """End every `subscriptions/listen` stream in the way the protocol asks."""
        self._is_closing = True

        for listener in self._streams:
            listener.woken.set()

    async def run(self) -> None:
        """Follow until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._tell_of_lists)
            group.start_soon(self._tell_of_resources)

            async for _ in self._catalog.subscribe([*sum(_KINDS.values(), ()), Kind.SERVER]):
                self._views.forget()
                self._has_changed.set()

    async def add(self, session_id: str, asked: Asked, session: ServerSession) -> bool:
        """Remember an open session; False when it is known, or there are too many."""
        keys = await self._keys(asked)

        if session_id in self._sessions or len(self._sessions) >= self._max_sessions:
            return False

        self._sessions[session_id] = _Listener(asked, keys, session, session_id)
        return True

    def remove(self, session_id: str) -> None:
        """Forget a session that ended."""
        listener = self._sessions.pop(session_id, None)

        if listener is not None:
            self._subscriptions.drop(listener)

    async def subscribe(self, session_id: str | None, place: Place) -> None:
        """Tell a session of a resource's updates from now on.

        Raises:
            Unavailable: It is not open, or subscribes to too much.
        """
        listener = None if session_id is None else self._sessions.get(session_id)

        if listener is None:
            raise Unavailable("Only an open session can subscribe.", code="mcp.session.closed")

        await self._subscriptions.add(listener, (place,))

    async def unsubscribe(self, session_id: str | None, said: str) -> None:
        """Take a session's subscription back, if there is one."""
        listener = None if session_id is None else self._sessions.get(session_id)

        if listener is not None:
            self._subscriptions.remove(listener, said)

    async def listen(
        self,
        ctx: ServerRequestContext[dict[str, Any]],
        params: types.SubscriptionsListenRequestParams,
    ) -> types.SubscriptionsListenResult:
        """Serve one `subscriptions/listen` stream until its client leaves."""
        if ctx.request_id is None or ctx.request is None:
            raise MCPError(INVALID_REQUEST, "subscriptions/listen requires a request id")

        asked = take(ctx.request.scope)
        credential = asked.call.context.subject.token_id

        if len(self._streams) >= _MAX_STREAMS or not self._shares.has_room(credential):
            raise Unavailable("Too many open subscriptions.", code="mcp.subscriptions.limit")

        listener = _Listener(asked, await self._keys(asked))
        wanted = params.notifications
        lists = _wanted_lists(wanted)
        meta: Any = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        give_back = self._shares.take(credential)
        self._streams.add(listener)

        try:
            followed = await self._follow(listener, wanted.resource_subscriptions or ())
            await ctx.session.send_notification(
                types.SubscriptionsAcknowledgedNotification(
                    params=types.SubscriptionsAcknowledgedNotificationParams(
                        notifications=types.SubscriptionFilter(
                            tools_list_changed=True if "tools" in lists else None,
                            prompts_list_changed=True if "prompts" in lists else None,
                            resources_list_changed=True if "resources" in lists else None,
                            resource_subscriptions=followed or None,
                        ),
                        _meta=meta,
                    )
                ),
                related_request_id=ctx.request_id,
            )

            while not self._is_closing:
                await listener.woken.wait()
                listener.woken = anyio.Event()
                await self._tell_stream(ctx, listener, lists, meta)
        finally:
            give_back()
            self._streams.discard(listener)
            self._subscriptions.drop(listener)

        return types.SubscriptionsListenResult(_meta=meta)

    async def _follow(self, listener: _Listener, uris: Sequence[str]) -> list[str]:
        """Subscribe to those of the resources that the caller sees, and return their URIs."""
        view = listener.asked.view
        found = (view.place_of(uri) for uri in dict.fromkeys(uris))
        places = [place for place in found if place is not None]
        return await self._subscriptions.add(listener, places)

    async def _tell_stream(
        self,
        ctx: ServerRequestContext[dict[str, Any]],
        listener: _Listener,
        lists: frozenset[str],
        meta: Any,
    ) -> None:
        news, listener.news = listener.news & lists, set()
        updated, listener.updated = listener.updated, set()
        notes: list[types.ServerNotification] = [
            _CHANGED[name](params=types.NotificationParams(_meta=meta)) for name in sorted(news)
        ]
        notes += [
            types.ResourceUpdatedNotification(
                params=types.ResourceUpdatedNotificationParams(uri=uri, _meta=meta)
            )
            for uri in sorted(updated)
        ]

        for note in notes:
            if not self._is_closing:
                await ctx.session.send_notification(note, related_request_id=ctx.request_id)

    async def _tell_of_lists(self) -> None:
        while True:
            await self._has_changed.wait()
            # Whatever changes from here on is another round's; a burst of changes is one.
            self._has_changed = anyio.Event()

            for listener in (*self._streams, *self._sessions.values()):
                keys = await self._keys(listener.asked)
                changed = {name for name, key in keys.items() if key != listener.keys[name]}
                listener.keys = keys

                if changed:
                    listener.news |= changed
                    await self._wake(listener)

    async def _tell_of_resources(self) -> None:
        async for watching in self._subscriptions.updates():
            listener = watching.listener
            assert isinstance(listener, _Listener)

            if await self._is_still_seen(listener, watching):
                listener.updated.add(watching.said)
                await self._wake(listener)
            else:
                self._subscriptions.remove(listener, watching.said)

    async def _is_still_seen(self, listener: _Listener, watching: Watching) -> bool:
        try:
            await self._catalog.fetch(listener.asked.call.context, watching.target)
        except GatewayError:
            return False

        return True

    async def _wake(self, listener: _Listener) -> None:
        """Have a stream's own task tell its client; a session is told here."""
        session = listener.session

        if session is None:
            listener.woken.set()
            return

        news, listener.news = listener.news, set()
        updated, listener.updated = listener.updated, set()

        with anyio.move_on_after(_PATIENCE) as scope:
            for name in sorted(news):
                await _send_changed(session, name)

            for uri in sorted(updated):
                await session.send_resource_updated(uri)

        if scope.cancelled_caught:
            # Whoever does not read what it is told must not keep the others waiting again.
            self.remove(listener.session_id)

    async def _keys(self, asked: Asked) -> _Keys:
        context = asked.call.context
        return {
            name: tuple([await self._catalog.view_key(context, kind) for kind in kinds])
            for name, kinds in _KINDS.items()
        }


def _wanted_lists(wanted: types.SubscriptionFilter) -> frozenset[str]:
    asked = {
        "tools": wanted.tools_list_changed,
        "prompts": wanted.prompts_list_changed,
        "resources": wanted.resources_list_changed,
    }
    return frozenset(name for name, is_wanted in asked.items() if is_wanted is True)


async def _send_changed(session: ServerSession, name: str) -> None:
    match name:
        case "tools":
            await session.send_tool_list_changed()
        case "prompts":
            await session.send_prompt_list_changed()
        case _:
            await session.send_resource_list_changed()
