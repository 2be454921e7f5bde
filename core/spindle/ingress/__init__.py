"""Ingress: one ASGI application over one route inventory, default deny."""

from __future__ import annotations
