"""How each vendor writes a scripted answer: a file a vendor, pure functions from data to bytes."""

from __future__ import annotations
