"""`python -m spindle_conformance.upstreams <dialect> --port 0` prints where it listens."""

from __future__ import annotations

from spindle_conformance.upstreams.process import run
from spindle_conformance.upstreams.simulators import SIMULATORS

if __name__ == "__main__":
    run(SIMULATORS)
