"""`spindle config show`: what is in force and where each key comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from spindle.cli.failures import reported
from spindle.cli.tables import print_table
from spindle.config.effective import effective_keys
from spindle.gateway import make_plan

if TYPE_CHECKING:
    from spindle.config.effective import EffectiveKey
    from spindle.home import Sources


def show_config(sources: Sources, *, under: str | None, only_set: bool, as_json: bool) -> None:
    """Print every key in force with its origin; secrets are masked."""
    with reported():
        plan = make_plan(sources)
        keys = effective_keys(
            sources.config,
            environ=sources.environ,
            overrides=sources.overrides,
            schemas=plan.discovery.schemas,
        )

    shown = [
        key
        for key in keys
        if (not only_set or not key.is_default) and (under is None or _is_under(key, under))
    ]

    if as_json:
        said = [{"key": key.key, "value": key.value, "from": key.origin} for key in shown]
        print(json.dumps(said))
        return

    print_table(
        ("KEY", "VALUE", "FROM"),
        [(key.key, json.dumps(key.value, ensure_ascii=False), key.origin) for key in shown],
    )


def _is_under(key: EffectiveKey, under: str) -> bool:
    rest = key.key.removeprefix(under)
    return rest != key.key and rest[:1] in ("", ".", "[")
