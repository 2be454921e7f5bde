"""NATS JetStream. The server drops a second event of one id: `Nats-Msg-Id` is the event's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nats
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from spindle.events.completed import CHAT, EMBEDDING
from spindle_spi.errors import Unavailable

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

    from spindle.config.events import EventSettings
    from spindle.store.rows import OutboxRow

_CONNECT_SECONDS = 2
_ANSWER_SECONDS = 5.0
_DUPLICATE_SECONDS = 3600.0
"""How long the server remembers ids; consumers go by source and id beyond that."""


class JetStreamPublisher:
    """Publishes events as messages, the whole CloudEvent as the payload."""

    def __init__(self, settings: EventSettings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._stream: JetStreamContext | None = None

    async def publish(self, event: OutboxRow) -> None:
        """Publish one; returns when the server has stored it.

        Raises:
            Unavailable: It has not.
        """
        try:
            stream = self._stream or await self._connect()
            await stream.publish(
                f"{self._settings.subject_prefix}{event.type}",
                event.body.encode(),
                timeout=_ANSWER_SECONDS,
                stream=self._settings.stream,
                headers={"Nats-Msg-Id": event.id, "content-type": "application/cloudevents+json"},
            )
        except (NatsError, OSError, TimeoutError) as exc:
            await self.close()
            raise Unavailable(
                f"NATS does not take events: {type(exc).__name__}.", code="core.events.unavailable"
            ) from exc

    async def close(self) -> None:
        """Close the connection; the next event makes another."""
        client, self._client, self._stream = self._client, None, None

        if client is not None and not client.is_closed:
            await client.close()

    async def _connect(self) -> JetStreamContext:
        self._client = await nats.connect(  # pyright: ignore[reportUnknownMemberType]
            self._settings.nats_url,
            name="spindle",
            connect_timeout=_CONNECT_SECONDS,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            error_cb=_ignore,
        )
        stream = self._client.jetstream(timeout=_ANSWER_SECONDS)  # pyright: ignore[reportUnknownMemberType]

        try:
            await stream.stream_info(self._settings.stream)
        except NotFoundError:
            prefix = self._settings.subject_prefix
            await stream.add_stream(  # pyright: ignore[reportUnknownMemberType]
                StreamConfig(
                    name=self._settings.stream,
                    subjects=[f"{prefix}{CHAT}", f"{prefix}{EMBEDDING}"],
                    duplicate_window=_DUPLICATE_SECONDS,
                )
            )

        self._stream = stream
        return stream


async def _ignore(error: Exception) -> None:
    # Whoever publishes is told.
    del error
