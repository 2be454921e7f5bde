"""Seeded secrets, and a search for them in everything a gateway lets out."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LEAST = 12


@dataclass(slots=True)
class Canaries:
    """Secrets by name. Each one differs from the others from its first characters on."""

    values: dict[str, str] = field(default_factory=dict[str, str])

    def seed(self, name: str, prefix: str = "") -> str:
        """Return the secret of a name, made when it is asked for first."""
        made = f"{prefix}{hashlib.sha256(name.encode()).hexdigest()[:40]}"
        return self.values.setdefault(name, made)

    def know(self, name: str, value: str) -> str:
        """Watch for a secret that somebody else made."""
        return self.values.setdefault(name, value)


@dataclass(slots=True)
class Sinks:
    """What came out, by where it did."""

    contents: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def add(self, name: str, content: bytes | str) -> None:
        """Keep what came out; several of one name are one sink."""
        more = content.encode() if isinstance(content, str) else content
        self.contents[name] = self.contents.get(name, b"") + b"\n" + more

    def add_files(self, directory: Path, *, but: frozenset[str]) -> None:
        """Keep every file under a directory whose name is not among `but`."""
        for path in sorted(directory.rglob("*")):
            if path.is_file() and path.name not in but:
                self.add(f"file {path.relative_to(directory)}", path.read_bytes())

    def leaks(self, canaries: Canaries) -> list[str]:
        """Return which secret is found in which sink, in whatever form."""
        return [
            f"{name} in {sink} ({form})"
            for name, value in canaries.values.items()
            for form, needle in _forms(value)
            for sink, content in self.contents.items()
            if needle in content
        ]


def _forms(value: str) -> Iterator[tuple[str, bytes]]:
    raw = value.encode()
    forms = {
        "plain": raw,
        "its beginning": raw[: max(_LEAST, len(raw) * 2 // 3)],
        "JSON": json.dumps(value)[1:-1].encode(),
        "URL": quote(value, safe="").encode(),
        "form": quote_plus(value).encode(),
        "hexadecimal": raw.hex().encode(),
        "UTF-16": value.encode("utf-16-le"),
        "reversed": raw[::-1],
    }
    yield from forms.items()

    # Base64 of a text that has the secret somewhere in it: three ways it may be aligned.
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + raw)
        start = (8 * lead + 5) // 6
        yield f"Base64 + {lead}", encoded[start : len(encoded) - 4]
        yield f"URL-safe Base64 + {lead}", base64.urlsafe_b64encode(b"\0" * lead + raw)[start:-4]
