"""NATS JetStream. The server drops a second event of one id: `Nats-Msg-Id` is the event's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nats
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from spindle.events.completed import EVENT_TYPES
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

        await self._make_room(stream)
        self._stream = stream
        return stream

    async def _make_room(self, stream: JetStreamContext) -> None:
        """Make the stream that keeps our events, or have the one that is there keep all of them.

        A subject that no stream keeps is never acknowledged, and what comes after it would wait.
        """
        wanted = [f"{self._settings.subject_prefix}{name}" for name in EVENT_TYPES]

        try:
            config = (await stream.stream_info(self._settings.stream)).config
        except NotFoundError:
            await stream.add_stream(  # pyright: ignore[reportUnknownMemberType]
                StreamConfig(
                    name=self._settings.stream,
                    subjects=wanted,
                    duplicate_window=_DUPLICATE_SECONDS,
                )
            )
            return

        kept = config.subjects or []
        missing = [name for name in wanted if not any(keeps(pattern, name) for pattern in kept)]

        if missing:
            config.subjects = [*kept, *missing]
            await stream.update_stream(config)  # pyright: ignore[reportUnknownMemberType]


def keeps(pattern: str, subject: str) -> bool:
    """Tell whether a stream with this subject keeps another: `*` is one token, `>` the rest."""
    wanted, given = pattern.split("."), subject.split(".")

    if wanted[-1] == ">":
        wanted, given = wanted[:-1], given[: len(wanted) - 1]

    return len(wanted) == len(given) and all(
        one in ("*", other) for one, other in zip(wanted, given, strict=True)
    )


async def _ignore(error: Exception) -> None:
    # Whoever publishes is told.
    del error
