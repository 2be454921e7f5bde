"""Failures of the host that a test asks for, by the name of the operation that shall fail."""

from __future__ import annotations

from dataclasses import dataclass, field

from spindle_spi.errors import GatewayError


@dataclass(frozen=True, slots=True)
class Refusals:
    """What operations of the services raise from now on."""

    errors: dict[str, GatewayError] = field(default_factory=dict[str, GatewayError])

    def check(self, operation: str) -> None:
        """Raise what a test wants this operation to raise, if anything."""
        error = self.errors.get(operation)

        if error is not None:
            raise error
