"""Vectors as this module holds them: little-endian 32-bit floats, as OpenAI writes in base64.

Upstreams compute in 32 bits at most; the numbers they wrote are kept beside for clients that want
numbers, so that nothing is written longer than it came.
"""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING

from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIZE = 4


class Vector:
    """One vector."""

    __slots__ = ("_numbers", "packed")

    def __init__(self, packed: bytes, numbers: Sequence[float] | None = None) -> None:
        """Take its 32-bit floats, and the numbers as they were written."""
        self.packed = packed
        self._numbers = numbers

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Vector:
        """Return the vector of what an upstream sent.

        Raises:
            UpstreamError: It is empty, or a number is beyond 32 bits.
        """
        try:
            packed = struct.pack(f"<{len(numbers)}f", *numbers)
        except (OverflowError, struct.error) as exc:
            raise _garbage() from exc

        if not packed:
            raise _garbage()

        return cls(packed, numbers)

    def __len__(self) -> int:
        return len(self.packed) // _SIZE

    @property
    def numbers(self) -> Sequence[float]:
        """Its numbers."""
        if self._numbers is not None:
            return self._numbers

        return struct.unpack(f"<{len(self)}f", self.packed)

    @property
    def base64(self) -> str:
        """Its 32-bit floats in base64."""
        return base64.b64encode(self.packed).decode("ascii")


def _garbage() -> UpstreamError:
    return UpstreamError("The upstream sent no embeddings.", code="upstream_garbage")
