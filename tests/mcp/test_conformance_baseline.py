from __future__ import annotations

from pathlib import Path

import yaml

AREAS = {
    "sampling",
    "elicitation",
    "subscriptions",
    "logging",
    "multi-round-trip",
}

PINNED = {
    "2025-11-25": {
        "elicitation-sep1034-defaults:elicitation-sep1034-general": "elicitation",
        "elicitation-sep1330-enums:elicitation-sep1330-general": "elicitation",
        "logging-set-level:logging-set-level": "logging",
        "tools-call-elicitation:tools-call-elicitation": "elicitation",
        "tools-call-sampling:tools-call-sampling": "sampling",
        "tools-call-with-logging:tools-call-with-logging": "logging",
    },
    "2026-07-28": {
        "input-required-result-basic-elicitation:sep-2322-elicitation-incomplete": (
            "multi-round-trip"
        ),
        "input-required-result-basic-list-roots:sep-2322-list-roots-incomplete": (
            "multi-round-trip"
        ),
        "input-required-result-basic-sampling:sep-2322-sampling-incomplete": "multi-round-trip",
        "input-required-result-capability-check:sep-2322-respect-client-capabilities": (
            "multi-round-trip"
        ),
        "input-required-result-multi-round:sep-2322-multi-round-r1": "multi-round-trip",
        "input-required-result-multiple-input-requests:sep-2322-multiple-inputs-incomplete": (
            "multi-round-trip"
        ),
        "input-required-result-non-tool-request:sep-2322-non-tool-incomplete": "multi-round-trip",
        "input-required-result-request-state:sep-2322-request-state-incomplete": (
            "multi-round-trip"
        ),
        "input-required-result-result-type:sep-2322-result-type-included": "multi-round-trip",
        "input-required-result-tampered-state:sep-2322-reject-tampered-state": "multi-round-trip",
        "server-stateless:sep-2575-http-server-no-independent-requests-on-stream": "elicitation",
    },
}


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
