"""What MCP clients speak: the SDK's low-level server over the catalog, in both eras."""

from __future__ import annotations
