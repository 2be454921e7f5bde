"""Options that many commands have, and what they amount to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle.home import Sources
    from spindle_spi.types import Json

HOME: Final = Path("~/.spindle")

Home = Annotated[
    Path,
    typer.Option("--home", envvar="SPINDLE_HOME", help="Where state is kept.", file_okay=False),
]
Config = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        envvar="SPINDLE_CONFIG",
        help="A YAML file, or a directory of them; may be repeated, later ones win.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def sources_of(
    home: Path, config: Sequence[Path] | None, overrides: Mapping[str, Json] | None = None
) -> Sources:
    """Return where the configuration comes from by these options."""
    from spindle.home import Sources

    return Sources(
        home=home.expanduser().absolute(),
        config=tuple(path.expanduser().absolute() for path in config or ()),
        environ=os.environ,
        overrides=overrides or {},
    )
