"""What upstreams speak: one adapter per dialect, between it and the lingua franca."""

from __future__ import annotations
