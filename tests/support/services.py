"""Servers some tests need: PostgreSQL, Redis, NATS. Absent, the tests say so; in CI they fail."""

from __future__ import annotations

import os
import socket
from typing import Final

import pytest

POSTGRESQL: Final = os.environ.get("SPINDLE_TEST_POSTGRESQL", "127.0.0.1:5432")
REDIS: Final = os.environ.get("SPINDLE_TEST_REDIS", "127.0.0.1:6379")
NATS: Final = os.environ.get("SPINDLE_TEST_NATS", "127.0.0.1:4222")

_CONNECT_SECONDS = 1.0


def is_reachable(address: str) -> bool:
    """Tell whether somebody listens at HOST:PORT."""
    host, _, port = address.rpartition(":")

    try:
        with socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False


def needs(name: str, address: str) -> pytest.MarkDecorator:
    """Return the mark of tests that cannot run without a server (with SPINDLE_CI=1 they fail)."""
    return pytest.mark.skipif(
        not is_reachable(address),
        reason=f"NEEDS {name} AT {address}: not tested. Start one, or set "
        f"SPINDLE_TEST_{name.upper()}=HOST:PORT.",
    )


needs_postgresql: Final = needs("PostgreSQL", POSTGRESQL)
needs_redis: Final = needs("Redis", REDIS)
needs_nats: Final = needs("NATS", NATS)
