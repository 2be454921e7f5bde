"""What one connection may cost before anybody knows who it is, and how many there may be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from spindle.ingress.proxies import TrustedProxies


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Bytes, numbers and seconds; see `server` in the configuration."""

    request_line_bytes: int = 16_384
    header_bytes: int = 65_536
    """The whole head: request line and headers."""
    header_count: int = 128
    header_seconds: float = 10.0
    """From the first byte of a head, or from the connection, to its end."""
    body_seconds: float = 30.0
    """In which a body makes progress: `PROGRESS_BYTES` of it, or its end."""
    max_connections: int = 2000
    max_connections_per_address: int | None = None
    proxies: TrustedProxies | None = None


@dataclass(slots=True)
class Doorkeeper:
    """Counts connections. One serves the process; new bounds are for new connections."""

    bounds: Bounds = Bounds()
    total: int = 0
    _by_address: Counter[str] = field(default_factory=Counter[str])

    def enter(self, address: str) -> bool:
        """Count a connection in; False when there is no room. `leave` follows in both cases."""
        self.total += 1
        most = self.bounds.max_connections_per_address
        # Counted whether bounded or not: the bound may come while the connection is open.
        self._by_address[address] += 1

        if self.total > self.bounds.max_connections:
            return False

        return most is None or self._by_address[address] <= most

    def leave(self, address: str) -> None:
        """Count a connection out."""
        self.total -= 1
        self._by_address[address] -= 1

        if not self._by_address[address]:
            del self._by_address[address]
