"""The prover of stream parity: behind every surface, a stream is its answer.

Scripted answers are written in a vendor's bytes, cut anywhere, and relayed by whoever is proven.
What clients of a surface make of the stream has to be what they make of the whole answer, which
has to be what the script says; and every rule of the surface's streams has to hold on the way.
Needs Hypothesis: `spindle-conformance[parity]`.
"""

from __future__ import annotations

from spindle_conformance.parity.cells import SURFACES, Cell, cells_of
from spindle_conformance.parity.prover import Prover, Relayed, Subject
from spindle_conformance.parity.readers import READERS, Reader
from spindle_conformance.parity.said import Broken, Said, SaidChoice
from spindle_conformance.parity.table import table_of

__all__ = [
    "READERS",
    "SURFACES",
    "Broken",
    "Cell",
    "Prover",
    "Reader",
    "Relayed",
    "Said",
    "SaidChoice",
    "Subject",
    "cells_of",
    "table_of",
]
