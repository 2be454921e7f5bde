"""Endpoints with many tools: two tools with which a client finds and calls the others."""
