"""Build hook: in a checkout, depend on ./spi; in a release, on the published spindle-spi.

uv resolves ./spi through [tool.uv.sources] by itself. pip does not read that table, so without
this hook `pip install .` would look for spindle-spi on a package index.
"""

from __future__ import annotations

import os
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


class LocalSpiHook(MetadataHookInterface):
    """Fill the dynamic dependency list, with the sibling spi folder in place of a release."""

    def update(self, metadata: dict[str, object]) -> None:
        """Write `dependencies`; SPINDLE_RELEASE=1 keeps the version range of spindle-spi."""
        dependencies: list[str] = list(self.config["dependencies"])
        spi = Path(self.root, "spi")

        if spi.is_dir() and os.environ.get("SPINDLE_RELEASE") != "1":
            dependencies = [line for line in dependencies if not line.startswith("spindle-spi")]
            dependencies.append(f"spindle-spi @ {spi.as_uri()}")

        metadata["dependencies"] = dependencies
