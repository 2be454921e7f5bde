"""What a gateway keeps in its home for others to find: where it listens, and a token to show it.

Importing it imports nothing of the gateway: who only talks to one that runs waits for no more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spindle_spi.types import Json

ADMIN_TOKEN_FILE: Final = "admin-token"
RUNNING_FILE: Final = "server.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the configuration comes from."""

    home: Path
    config: Path | Sequence[Path] | None
    environ: Mapping[str, str]
    overrides: Mapping[str, Json]


def find_running(home: Path) -> str | None:
    """Return the URL of the gateway that holds a home directory, if one runs."""
    try:
        said = json.loads((home / RUNNING_FILE).read_text())
        os.kill(int(said["pid"]), 0)
        return str(said["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
