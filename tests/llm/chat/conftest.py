"""One upstream process for the chats of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.upstream_process import Upstream, running_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@pytest.fixture(scope="module")
async def upstream() -> AsyncGenerator[Upstream]:
    """Run the simulated upstream, writing seven bytes at a time."""
    async with running_upstream(chunk=7) as running:
        yield running
