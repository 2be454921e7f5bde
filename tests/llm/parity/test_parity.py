"""Behind every surface and over every dialect, a stream is its answer: at every cut."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.parity import Cell, Prover, cells_of
from tests.llm.parity.subject import ModuleSubject

if TYPE_CHECKING:
    from collections.abc import Generator

SCRIPTS = int(os.environ.get("SPINDLE_PARITY_SCRIPTS", "2000"))
"""Distinct scripts for each cell."""

CELLS = [pytest.param(cell, id=cell.name.replace(" × ", "-")) for cell in cells_of()]


@pytest.fixture
def prover(cell: Cell) -> Generator[Prover]:
    """Yield a prover of one cell."""
    subject = ModuleSubject(cell)
    yield Prover(cell, subject)
    subject.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cell", CELLS)
def test_any_script_streams_as_it_answers(prover: Prover) -> None:
    """Drawn by Hypothesis, each at cuts of its own; faults are told after what came before them."""
    prover.prove(SCRIPTS)
    assert len(prover.distinct) >= SCRIPTS


@pytest.mark.parametrize("cell", CELLS)
def test_short_scripts_stream_alike_at_every_single_cut(prover: Prover) -> None:
    """Two reads at each place, and one read for each byte."""
    prover.prove_every_cut()
    assert prover.cut > 100
