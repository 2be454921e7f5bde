"""What models cost: what their records say, else a table of public prices that ships with us."""

from __future__ import annotations
