"""Agreement on a version of the contract."""

from __future__ import annotations

import pytest

from spindle_spi.errors import ContractViolation
from spindle_spi.versions import SPI_VERSIONS, negotiate


def test_the_newest_common_version_is_chosen() -> None:
    """By number, not by spelling, and whatever the order."""
    chosen = negotiate(
        host="spindle",
        host_versions=("1.9", "1.10", "2.0"),
        module="acme",
        module_versions=("1.9", "1.10"),
    )
    assert chosen == "1.10"


@pytest.mark.parametrize(("spoken", "said"), [(("0.9", "3.0"), "0.9, 3.0"), ((), "none")])
def test_no_common_version_names_both_sides(spoken: tuple[str, ...], said: str) -> None:
    """The operator sees who speaks what."""
    with pytest.raises(ContractViolation) as caught:
        negotiate(
            host="spindle 1", host_versions=SPI_VERSIONS, module="acme", module_versions=spoken
        )

    assert caught.value.code == "spi.version_incompatible"
    assert f"spindle 1 speaks SPI {', '.join(SPI_VERSIONS)}" in caught.value.message
    assert f"acme speaks SPI {said}" in caught.value.message
