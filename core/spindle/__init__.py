"""The Spindle gateway host."""

from __future__ import annotations
