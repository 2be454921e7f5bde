"""Behind every surface and over every dialect, a stream is its answer: at every cut."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.parity import SURFACES, Prover, cells_of
from spindle_conformance.upstreams.dialects.catalog import DIALECTS
from spindle_llm.providers.registry import adapters
from tests.llm.parity.subject import ModuleSubject, SocketSubject, provider_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_conformance.parity import Cell

SCRIPTS = int(os.environ.get("SPINDLE_PARITY_SCRIPTS", "90"))
"""Distinct scripts for each cell; `make parity` proves 2,000 and prints the table."""
OVER_SOCKETS = int(os.environ.get("SPINDLE_PARITY_SOCKETS", "8"))
"""The same over sockets; 50 by `make parity`."""

STEP = 11
"""From one cut to the next: a prime, so that it falls on all sorts of places."""

ONE_MEASURED = [
    pytest.param(dialect, marks=[pytest.mark.unmeasured] if number else [])
    for number, dialect in enumerate(DIALECTS)
]
"""The prover is the same for each, and what of ours it drives has tests of its own."""

pytestmark = [pytest.mark.timeout(600), pytest.mark.requirement("000-module-owns-streaming")]


@pytest.mark.parametrize("dialect", ONE_MEASURED)
def test_any_script_streams_as_it_answers(dialect: str) -> None:
    """Drawn by Hypothesis, each at cuts of its own; faults are told after what came before them."""
    prove(dialect, ModuleSubject, SCRIPTS, "in memory")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_any_script_streams_over_sockets_as_it_answers(dialect: str) -> None:
    """The same through real connections, written in pieces."""
    prove(dialect, SocketSubject, OVER_SOCKETS, "over sockets")


@pytest.mark.parametrize("dialect", ONE_MEASURED)
def test_short_scripts_stream_alike_at_single_cuts(dialect: str) -> None:
    """Two reads at many places, and one read for each byte; `make parity` takes every place."""
    for cell in cells_of([dialect]):
        with closing(ModuleSubject(cell)) as subject:
            prover = Prover(cell, subject)
            prover.prove_every_cut(STEP)

        assert prover.cut > 20


def test_every_adapter_is_proven() -> None:
    """But the mock, which is OpenAI's over no network, the one for whatever is like OpenAI, and
    LiteLLM's, which reads no wire: in its own environment its streams are held against its answers.
    """
    proven = {provider_of(dialect)[0] for dialect in DIALECTS}
    assert set(adapters()) - proven == {"litellm", "mock", "openai_compatible"}


def prove(dialect: str, kind: Callable[[Cell], ModuleSubject], scripts: int, how: str) -> None:
    """Prove the cells of a dialect, and print their row of the table."""
    proven: dict[tuple[str, str], tuple[int, int]] = {}

    for cell in cells_of([dialect]):
        with closing(kind(cell)) as subject:
            prover = Prover(cell, subject)
            prover.prove(scripts)

        proven[dialect, cell.surface] = (len(prover.distinct), prover.cut)

    assert {surface for _, surface in proven} == set(SURFACES)
    assert all(distinct >= scripts for distinct, _ in proven.values())
