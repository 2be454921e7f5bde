"""Paths of ours that authorization servers are told of."""

from __future__ import annotations

from typing import Final

CALLBACK: Final = "/mcp/callback"
DOCUMENT: Final = "/mcp/client-metadata.json"
