"""`python -m spindle`."""

from __future__ import annotations

from spindle.cli import main

main()
