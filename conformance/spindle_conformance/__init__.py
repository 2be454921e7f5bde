"""The proof: what a protocol module for Spindle is tested with, outside any gateway."""

from __future__ import annotations
