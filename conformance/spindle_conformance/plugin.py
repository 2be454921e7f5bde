"""The pytest plugin of the conformance kit: the marker its contract tests carry.

The suites themselves come with later releases; this version brings the wire simulators alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

MARKER = "contract(id, ...): the requirements of the SPI that a conformance test proves"


def pytest_configure(config: pytest.Config) -> None:
    """Register the kit's marker."""
    config.addinivalue_line("markers", MARKER)
