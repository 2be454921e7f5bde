"""An office for every test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core.directory.office import Office, open_office

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@pytest.fixture
async def office(tmp_path: Path) -> AsyncGenerator[Office]:
    async with open_office(tmp_path) as office:
        yield office


@pytest.fixture
async def admin(office: Office) -> str:
    return await office.admin()
