"""The OpenAPI document of everything that is mounted, and the page that shows it."""

from __future__ import annotations
