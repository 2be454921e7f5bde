"""Which upstream serves an admitted call, and what is tried when it fails."""

from __future__ import annotations
