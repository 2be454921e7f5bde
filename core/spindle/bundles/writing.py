"""A bundle as YAML that reads back as the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import yaml

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

_LIKE_A_NUMBER: Final = re.compile(r"[-+.]?[0-9]")
"""What begins so is quoted: readers differ about numbers and dates."""


def to_yaml(bundle: JsonObject) -> bytes:
    """Return YAML in the order of the bundle, without anchors, in UTF-8."""
    # The stubs leave the type of `width` out.
    text: str = yaml.dump(  # pyright: ignore[reportUnknownMemberType]
        bundle, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100
    )
    return text.encode()


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    del dumper
    style = "'" if _LIKE_A_NUMBER.match(text) else None
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style=style)


_Plain.add_representer(str, _represent_text)
