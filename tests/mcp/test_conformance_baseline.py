from __future__ import annotations

from pathlib import Path

import yaml

AREAS: frozenset[str] = frozenset()
"""Nothing may wait any more."""

PINNED: dict[str, dict[str, str]] = {"2025-11-25": {}, "2026-07-28": {}}


def read_baseline() -> dict[str, dict[str, str]]:
    text = Path(__file__).with_name("conformance_baseline.yml").read_text()
    baseline: dict[str, dict[str, str]] = yaml.safe_load(text)
    return baseline


def test_the_baseline_holds_exactly_the_pinned_checks_each_with_its_area() -> None:
    """An entry can be neither added nor moved to another area unseen."""
    areas = {
        revision: {check: reason.partition(":")[0] for check, reason in entries.items()}
        for revision, entries in read_baseline().items()
    }
    assert areas == PINNED


def test_every_entry_gives_a_reason_from_an_area_that_may_wait() -> None:
    """Whatever is not one of the areas has to pass."""
    for entries in read_baseline().values():
        for reason in entries.values():
            area, _, why = reason.partition(": ")
            assert area in AREAS
            assert why


def test_only_single_checks_are_listed_never_whole_scenarios() -> None:
    """A scenario on the list would hide checks that pass today and fail tomorrow."""
    for entries in read_baseline().values():
        assert all(check.count(":") == 1 for check in entries)
