"""What every test run of the repository loads."""

from __future__ import annotations

import pytest
from hypothesis import settings

pytest_plugins = (
    "pytester",
    "tests.plugins.measured",
    "tests.plugins.openapi_cases",
    "tests.plugins.strict_ci",
    "tests.plugins.traceability",
    "tests.support.databases",
)

# No deadlines on a machine that others use too, and the same examples in every run.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """What serves in production: asyncio. Pure code that promises more asks for more itself."""
    return "asyncio"
