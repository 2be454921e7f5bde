"""Values that must never be shown, and references to them."""

from __future__ import annotations

from dataclasses import dataclass


class Secret:
    """A sensitive string whose every rendering is `***`; only `reveal` gives the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value; call it at the last moment, where it goes on the wire."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, format_spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __bool__(self) -> bool:
        return bool(self._value)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef:
    """The name of a secret the core keeps; worthless without the core."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretLease:
    """A value for a while: who goes on using it after its end has to ask again."""

    secret: Secret
    expires_at: float
    """Seconds since the epoch."""
