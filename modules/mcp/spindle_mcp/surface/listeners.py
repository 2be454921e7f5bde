"""Who wants to hear that their list of tools changed, and telling them; nobody else is told.

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
from spindle_spi.errors import Unavailable
from spindle_spi.records import Kind

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext
    from mcp.server.session import ServerSession

    from spindle_mcp.surface.views import Views
    from spindle_spi.catalog import CatalogService

_MAX_STREAMS: Final = 1024
_PATIENCE: Final = 1.0


class _Listener:
    """One client, what its list was when it last heard of it, and the sign that it changed."""

    __slots__ = ("asked", "changed", "key", "session", "session_id")

    def __init__(
        self,
        asked: Asked,
        key: str,
        session: ServerSession | None = None,
        session_id: str = "",
    ) -> None:
        self.asked = asked
        self.key = key
        self.session = session
        self.session_id = session_id
        self.changed = anyio.Event()


class Listeners:
    """The listeners of both eras. `run` follows the catalog."""

    def __init__(self, catalog: CatalogService, views: Views, *, max_sessions: int) -> None:
        self._catalog = catalog
        self._views = views
        self._max_sessions = max_sessions
        self._sessions: dict[str, _Listener] = {}
        self._streams: set[_Listener] = set()
        self._is_closing = False

    def __len__(self) -> int:
        return len(self._sessions) + len(self._streams)

    def close(self) -> None:
        """End every `subscriptions/listen` stream in the way the protocol asks."""
        self._is_closing = True

        for listener in self._streams:
            listener.changed.set()

    async def run(self) -> None:
        """Follow the catalog until cancelled."""
        async for _ in self._catalog.subscribe([Kind.TOOL, Kind.SERVER]):
            self._views.forget()

            for listener in (*self._streams, *self._sessions.values()):
                await self._tell(listener)

    async def add(self, session_id: str, asked: Asked, session: ServerSession) -> bool:
        """Remember an open session; False when it is known, or there are too many."""
        key = await self._key(asked)

        if session_id in self._sessions or len(self._sessions) >= self._max_sessions:
            return False

        self._sessions[session_id] = _Listener(asked, key, session, session_id)
        return True

    def remove(self, session_id: str) -> None:
        """Forget a session that ended."""
        self._sessions.pop(session_id, None)

    async def listen(
        self,
        ctx: ServerRequestContext[dict[str, Any]],
        params: types.SubscriptionsListenRequestParams,
    ) -> types.SubscriptionsListenResult:
        """Serve one `subscriptions/listen` stream until its client leaves."""
        if ctx.request_id is None or ctx.request is None:
            raise MCPError(INVALID_REQUEST, "subscriptions/listen requires a request id")

        if len(self._streams) >= _MAX_STREAMS:
            raise Unavailable("Too many open subscriptions.", code="mcp.subscriptions.limit")

        asked = take(ctx.request.scope)
        listener = _Listener(asked, await self._key(asked))
        wants_tools = params.notifications.tools_list_changed is True
        meta: Any = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        self._streams.add(listener)

        try:
            await ctx.session.send_notification(
                types.SubscriptionsAcknowledgedNotification(
                    params=types.SubscriptionsAcknowledgedNotificationParams(
                        notifications=types.SubscriptionFilter(
                            tools_list_changed=True if wants_tools else None
                        ),
                        _meta=meta,
                    )
                ),
                related_request_id=ctx.request_id,
            )

            while not self._is_closing:
                await listener.changed.wait()
                listener.changed = anyio.Event()

                if wants_tools and not self._is_closing:
                    await ctx.session.send_notification(
                        types.ToolListChangedNotification(
                            params=types.NotificationParams(_meta=meta)
                        ),
                        related_request_id=ctx.request_id,
                    )
        finally:
            self._streams.discard(listener)

        return types.SubscriptionsListenResult(_meta=meta)

    async def _tell(self, listener: _Listener) -> None:
        key = await self._key(listener.asked)

        if key == listener.key:
            return

        listener.key = key

        if listener.session is None:
            listener.changed.set()
            return

        with anyio.move_on_after(_PATIENCE) as scope:
            await listener.session.send_tool_list_changed()

        if scope.cancelled_caught:
            # Whoever does not read what it is told must not keep the others waiting again.
            self.remove(listener.session_id)

    async def _key(self, asked: Asked) -> str:
        return await self._catalog.view_key(asked.call.context, Kind.TOOL)
