"""What a credential is worth, as the request path needs it."""

from __future__ import annotations

from dataclasses import dataclass

from spindle_spi.context import Subject, VisibilityScope


@dataclass(frozen=True, slots=True)
class Credential:
    """Who it stands for, what they see and may do, and when it ends (seconds since the epoch)."""

    subject: Subject
    scope: VisibilityScope
    expires_at: float | None
    paths: tuple[str, ...] | None = None
    """Where it holds, with what is under them; without a slash at the end. None is everywhere."""
