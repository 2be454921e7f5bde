"""Events about what calls did: an outbox in the database, a dispatcher, and where they go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spindle.config.events import EventSettings
    from spindle.events.dispatcher import Dispatcher
    from spindle.store import Store


def build_events(settings: EventSettings, store: Store) -> Dispatcher | None:
    """Return what publishes events; None when they go nowhere, and nothing is loaded then."""
    if settings.backend == "none":
        return None

    from spindle.events.bus import Bus
    from spindle.events.completed import Completions
    from spindle.events.dispatcher import Dispatcher, Nowhere, Publisher

    publisher: Publisher = Nowhere()

    if settings.backend == "nats":
        from spindle.events.jetstream import JetStreamPublisher

        publisher = JetStreamPublisher(settings)

    return Dispatcher(settings, store, publisher, Bus(), Completions(settings.source))
