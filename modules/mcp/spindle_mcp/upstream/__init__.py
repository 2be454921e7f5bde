"""Upstream MCP servers: one supervised actor each, so that one bad upstream hurts nobody else."""

from __future__ import annotations
