"""Configurations written to a file and loaded, or the faults they have."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from spindle.config import Settings, load_settings
from spindle_spi.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_spi.types import Json

HOME = Path("/home/of/spindle")


def load(
    text: str | bytes | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Json] | None = None,
    schemas: Mapping[str, Mapping[str, Json]] | None = None,
) -> Settings:
    """Load a configuration with this text in `spindle.yaml`, or without a file."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "spindle.yaml"

        if text is not None:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())

        return load_settings(
            None if text is None else path,
            home=HOME,
            environ=environ or {},
            overrides=overrides or {},
            schemas=schemas or {},
        )


def faults(
    text: str | bytes | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Json] | None = None,
    schemas: Mapping[str, Mapping[str, Json]] | None = None,
) -> tuple[str, ...]:
    """Return every fault of a configuration."""
    with pytest.raises(ConfigError) as caught:
        load(text, environ=environ, overrides=overrides, schemas=schemas)

    return caught.value.faults
