"""How one provider has been doing: what attempts leave behind, and what later ones ask first.

It outlives the provider's connections and every change of its record. Attempts that go well cost
additions alone; whether a call may go to the provider is one flag as long as nothing is wrong.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spindle_llm.routing.breaker import Breaker, BreakerRules, BreakerState
from spindle_llm.routing.faults import Fault
from spindle_llm.routing.rates import Rates, rates_of
from spindle_llm.routing.window import Window
from spindle_spi.errors import Origin

if TYPE_CHECKING:
    from spindle_spi.errors import GatewayError
    from spindle_spi.records import ProviderSpec

_THROTTLED_SECONDS: Final = 10.0
"""How long a provider counts as throttled that did not say how long it will be."""

_BLOCKING: Final = frozenset({Fault.CREDENTIAL, Fault.QUOTA})
_OTHERS: Final = frozenset({Fault.REQUEST, Fault.CONTEXT, Fault.MODEL, Fault.SETUP})
"""Faults that say nothing against the provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastError:
    """The last failure of a provider's: a code and a time. What the upstream said is not kept."""

    code: str
    fault: Fault
    at: float
    """Seconds since the epoch."""


class Standing:
    """One provider's breaker, rates, window and last words."""

    __slots__ = (
        "blocked_by",
        "breaker",
        "is_guarded",
        "last_error",
        "last_success",
        "rates",
        "throttled_until",
        "window",
    )

    def __init__(self, rules: BreakerRules) -> None:
        self.breaker = Breaker(rules)
        self.window = Window()
        self.rates: Rates | None = None
        self.is_guarded = False
        """The breaker is not closed: ask it before calling."""
        self.last_error: LastError | None = None
        self.last_success: float | None = None
        """Seconds since the epoch."""
        self.throttled_until = 0.0
        self.blocked_by: Fault | None = None
        """Why the provider takes nothing from us, until something goes well."""

    def configure(self, spec: ProviderSpec) -> None:
        """Take the limits of the provider's record; what is counted stays counted."""
        self.rates = rates_of(spec, self.rates)

    def succeeded(self, now: float, seconds: float) -> None:
        """Take an attempt that went well; `now` is of the performance counter."""
        self.window.succeeded(now, seconds)
        self.last_success = time.time()
        self.blocked_by = None
        self._answered()

    def failed(self, now: float, error: GatewayError, fault: Fault) -> None:
        """Take an attempt that failed."""
        if fault in _OTHERS:
            if error.origin is Origin.UPSTREAM:
                self._answered()
            else:
                self.abandoned(now)

            return

        self._remember(error, fault)
        self.window.failed(now)

        if fault is Fault.RATE:
            wait = _THROTTLED_SECONDS if error.retry_after is None else error.retry_after
            self.throttled_until = max(self.throttled_until, now + wait)
            self.abandoned(now)
            return

        if fault in _BLOCKING:
            self.blocked_by = fault

        self.breaker.failed(now, self.window.recent(now))
        self.is_guarded = self.breaker.state is not BreakerState.CLOSED

    def broke(self, now: float, error: GatewayError) -> None:
        """Take the failure of an answer that had begun well."""
        self._remember(error, Fault.UPSTREAM)
        self.window.broke(now)
        self.breaker.failed(now, self.window.recent(now))
        self.is_guarded = self.breaker.state is not BreakerState.CLOSED

    def abandoned(self, now: float) -> None:
        """Take an attempt that nobody waited for any more."""
        self.breaker.abandoned(now)

    def refuses(self, now: float) -> float | None:
        """Return the seconds for which the breaker lets nobody through; None when it does."""
        return None if self.breaker.admits(now) else self.breaker.wait(now)

    def _answered(self) -> None:
        self.breaker.succeeded()
        self.is_guarded = False

    def _remember(self, error: GatewayError, fault: Fault) -> None:
        self.last_error = LastError(code=error.code, fault=fault, at=time.time())
