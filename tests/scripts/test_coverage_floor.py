"""The floors of coverage, by package."""

from __future__ import annotations

from scripts.coverage_floor import Tally, sum_packages


def test_files_count_for_the_package_whose_folder_they_are_in() -> None:
    """The longer name is not mistaken for the shorter, and a package nobody loaded has nothing."""
    files = {
        "spi/spindle_spi/a.py": Tally(covered=1, total=2),
        "spi/spindle_spi/deep/b.py": Tally(covered=3, total=3),
        "core/spindle/a.py": Tally(covered=0, total=5),
    }
    sums = sum_packages(files, ["spindle", "spindle_spi", "spindle_llm"])
    assert sums["spindle_spi"] == Tally(covered=4, total=5)
    assert sums["spindle"].percent == 0.0
    assert sums["spindle_llm"].percent == 0.0
