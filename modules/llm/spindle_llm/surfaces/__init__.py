"""What clients speak: one file per surface, between it and the lingua franca."""

from __future__ import annotations
