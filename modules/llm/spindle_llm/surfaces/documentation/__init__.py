"""What the routes of this module say of themselves. Adding one is an entry in `table.py`."""

from __future__ import annotations
