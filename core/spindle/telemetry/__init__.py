"""Logs and metrics of the process."""

from __future__ import annotations
