"""Prove that a stream is its answer, for every dialect behind every surface, and print the table.

Scripts are drawn by Hypothesis and cut anywhere: many in memory, fewer over sockets.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `tests`

from spindle_conformance.parity import Prover, cells_of, table_of
from spindle_conformance.upstreams.dialects.catalog import DIALECTS
from tests.llm.parity.subject import ModuleSubject, SocketSubject

WAYS = {"in memory": ModuleSubject, "over sockets": SocketSubject}


def prove(way: str, dialect: str, surface: str, scripts: int) -> tuple[int, int]:
    """Return how many distinct scripts one cell was proven with, and streams at how many cuts."""
    (cell,) = cells_of([dialect], [surface])

    with closing(WAYS[way](cell)) as subject:
        prover = Prover(cell, subject)
        # A third as many again go wrong.
        prover.prove(-(-scripts * 3 // 4))

        if way == "in memory":
            prover.prove_every_cut()

    return len(prover.distinct), prover.cut


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scripts", type=int, default=2000, help="for each cell, in memory")
    parser.add_argument("--sockets", type=int, default=50, help="for each cell, over sockets")
    parser.add_argument("--jobs", type=int, default=2, help="cells at once")
    parser.add_argument("dialects", nargs="*", default=list(DIALECTS), help="only these")
    options = parser.parse_args()
    cells = [(cell.dialect.name, cell.surface) for cell in cells_of(options.dialects)]

    with ProcessPoolExecutor(options.jobs) as pool:
        for way, scripts in (("in memory", options.scripts), ("over sockets", options.sockets)):
            started = time.monotonic()
            futures = {cell: pool.submit(prove, way, *cell, scripts) for cell in cells}
            proven = {cell: future.result() for cell, future in futures.items()}
            print(f"{way}, in {time.monotonic() - started:.0f} s:")
            print(table_of(proven), flush=True)
            fewest = min(distinct for distinct, _ in proven.values())

            if fewest < scripts:
                print(f"only {fewest} distinct scripts in a cell, not {scripts}", file=sys.stderr)
                return 1

    return 0


if __name__ == "__main__":
    sys.exit(main())
