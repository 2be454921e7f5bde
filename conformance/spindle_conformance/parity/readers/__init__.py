"""Readers: what the clients of a surface make of its bytes, and the rules its streams hold to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_conformance.parity.readers.base import Reader
from spindle_conformance.parity.readers.chat import ChatReader
from spindle_conformance.parity.readers.messages import MessagesReader
from spindle_conformance.parity.readers.responses import ResponsesReader

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["READERS", "Reader"]

READERS: Mapping[str, Reader] = {
    reader.surface: reader for reader in (ChatReader(), MessagesReader(), ResponsesReader())
}
"""By the name of the surface."""
