"""The reference page names every key there is, and no other; its examples are valid."""

from __future__ import annotations

import re
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Union, get_args, get_origin

from pydantic import BaseModel

from spindle.config.document import Document
from tests.core.config.written import load

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[3] / "docs/reference/configuration.md").read_text()


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key that has a value of its own, as the page writes it."""
    for name, field in model.model_fields.items():
        yield from inside(field.annotation, f"{prefix}{name}")


def inside(kind: object, path: str) -> Iterator[str]:
    arguments = [entry for entry in get_args(kind) if entry not in (type(None), Ellipsis)]

    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from keys(kind, f"{path}.")
    elif get_origin(kind) in (Union, UnionType):
        yield from inside(arguments[0], path)
    elif get_origin(kind) is dict and is_model(arguments[1]):
        yield path
        yield from inside(plain(arguments[1]), f"{path}.*")
    elif get_origin(kind) is tuple and is_model(arguments[0]):
        yield path
        yield from inside(plain(arguments[0]), f"{path}[]")
    else:
        yield path


def plain(kind: object) -> object:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def is_model(kind: object) -> bool:
    kind = plain(kind)
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def test_the_page_names_every_key_and_no_other() -> None:
    """A key that is added, renamed or removed fails here until the page says so."""
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    named = {name for cell in rows for name in re.findall(r"`([^`]+)`", cell)}
    common = {"visibility", "team", "owner", "description", "enabled"}

    assert named == {*keys(Document), *common}


def test_the_examples_of_the_page_are_one_valid_configuration() -> None:
    """Pasted one after the other they work."""
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    settings = load("".join(examples))

    assert len(examples) == 3
    assert len(settings.declared) == 6


def test_the_defaults_the_page_gives_are_those_of_the_models() -> None:
    """Every plain default in a table is the real one."""
    defaults = {
        path: cell.strip(" `")
        for path, cell in re.findall(
            r"^\| `([\w.]+)` \| [^|]+ \| (`[^`|]+`) \|", PAGE, re.MULTILINE
        )
    }
    checked = 0

    for path, shown in defaults.items():
        model: object = Document()

        for part in path.split("."):
            model = getattr(model, part, None)

        if isinstance(model, str | int | float):
            assert str(model).lower().removesuffix(".0") == shown.removesuffix(".0"), path
            checked += 1

    assert checked >= 15
