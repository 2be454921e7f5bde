"""Bytes to and from upstreams: transport, SSE, folding, the watch on the client."""

from __future__ import annotations
