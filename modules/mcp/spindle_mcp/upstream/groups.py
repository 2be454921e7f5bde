"""What task groups wrap a failure into, taken off again."""

from __future__ import annotations

from typing import TypeGuard


def innermost(exc: Exception) -> Exception:
    """Return what a task group wrapped."""
    while _is_group(exc):
        exc = exc.exceptions[0]

    return exc


def _is_group(exc: Exception) -> TypeGuard[ExceptionGroup[Exception]]:
    return isinstance(exc, ExceptionGroup)
