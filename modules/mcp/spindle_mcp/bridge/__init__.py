"""`spindle mcp`: standard input and output on one side, a gateway's MCP endpoint on the other."""

from __future__ import annotations
