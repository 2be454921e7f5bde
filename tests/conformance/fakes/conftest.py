"""Both hosts, with the same records, callers and plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.fakes.sides import BLOCK, EXTRA, MASK, Side, side_of
from tests.core.heart import open_heart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@pytest.fixture(params=["core", "fake"])
def is_fake(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "fake")


@pytest.fixture
async def side(tmp_path: Path, is_fake: bool) -> AsyncGenerator[Side]:
    async with open_heart(tmp_path, EXTRA) as heart:
        yield side_of(heart, is_fake=is_fake)


@pytest.fixture
async def masked(tmp_path: Path, is_fake: bool) -> AsyncGenerator[Side]:
    async with open_heart(tmp_path, MASK) as heart:
        yield side_of(heart, is_fake=is_fake)


@pytest.fixture
async def blocked(tmp_path: Path, is_fake: bool) -> AsyncGenerator[Side]:
    async with open_heart(tmp_path, BLOCK) as heart:
        yield side_of(heart, is_fake=is_fake)
