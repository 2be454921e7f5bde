"""What the log says of calls: each in one line at debug, and a service that begins to fail, once.

Names and codes of our own alone: no text of a client's, none of an upstream's.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import structlog

from spindle.telemetry.attempts import OK

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle.admission import OpenPermit
    from spindle_spi.admission import Attempt, Outcome

_NAME = "spindle.calls"
_LOG = structlog.get_logger(_NAME)
_LOGGER = logging.getLogger(_NAME)
"""Asked whether anybody listens, which costs less than a line that nobody reads."""
_QUIET_SECONDS = 10.0
"""Between two lines on the state of one service: one that comes and goes fills no log."""
_MAX_SERVICES = 2000
_REQUESTS_OWN = frozenset({400, 404, 409, 413, 422})
"""Statuses by which an upstream says that it is well, and a request or a model's name is not."""


class CallLog:
    """Writes of calls as they are settled."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.failing: dict[str, bool] = {}
        """What was said last of each service, once something was."""
        self._said_at: dict[str, float] = {}

    def is_heard(self) -> bool:
        """Tell whether a line for each call would be written anywhere."""
        return _LOGGER.isEnabledFor(logging.DEBUG)

    def note(self, request_id: str, attempt: Attempt) -> None:
        """Say it if an attempt shows that a service has begun or ceased to fail."""
        service, is_failing = attempt.backend, attempt.outcome != OK

        if is_failing and attempt.status in _REQUESTS_OWN:
            return

        now = self._clock()

        if self.failing.get(service, False) == is_failing or (
            now - self._said_at.get(service, -_QUIET_SECONDS) < _QUIET_SECONDS
        ):
            return

        if len(self.failing) >= _MAX_SERVICES:
            self.failing.clear()
            self._said_at.clear()

        self.failing[service] = is_failing
        self._said_at[service] = now
        context = {
            "service": service,
            "model": attempt.target,
            "status": attempt.status,
            "request_id": request_id,
        }

        if is_failing:
            _LOG.warning("a service fails", code=attempt.outcome, **context)
        else:
            _LOG.info("a service answers again", **context)

    def write(self, held: OpenPermit, outcome: Outcome) -> None:
        """Write the line of a call that ends now."""
        permit = held.permit
        attempts = outcome.attempts
        usual = "" if permit.backend is None else permit.backend.name
        _LOG.debug(
            "call",
            kind=permit.record.kind.value,
            service=attempts[-1].backend if attempts else usual,
            model=permit.record.name,
            served_by=outcome.served_by,
            status=outcome.status.value,
            code=outcome.error_code,
            attempts=len(attempts),
            duration_ms=round(outcome.total_ms, 3),
            response_bytes=outcome.response_bytes,
            request_id=held.context.trace.request_id,
        )
