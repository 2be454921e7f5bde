"""The kit's pytest plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def test_the_plugin_registers_the_marker_of_contract_tests(pytester: pytest.Pytester) -> None:
    """A test that carries `contract` runs under --strict-markers with nothing else configured."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.contract("catalog:list:hidden")
        def test_it():
            pass
        """
    )
    result = pytester.runpytest_subprocess("--strict-markers", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=1)
