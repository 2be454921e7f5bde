"""The catalog as one document: exported, compared, applied as a whole, taken back."""

from __future__ import annotations
