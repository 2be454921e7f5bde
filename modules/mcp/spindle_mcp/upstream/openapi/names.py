"""Names of tools and of their arguments: what every client takes, the same after every reading."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

MAX_NAME: Final = 64
_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
_UNFIT_ARGUMENT = re.compile(r"[^A-Za-z0-9_.-]+")
_HASH_LENGTH: Final = 8


def tool_names(wanted: Sequence[tuple[str, str]]) -> list[str]:
    """Return a name for each operation, given what it is called and where it is.

    Of several that would be called the same, the one that is called exactly so keeps the name; the
    others get a piece of the hash of where they are, whatever their order.
    """
    fits = [_fit(name) for name, _ in wanted]
    times = Counter(fits)
    exact = Counter(name for name, _ in wanted)
    names: list[str] = []

    for (name, place), fit in zip(wanted, fits, strict=True):
        is_kept = times[fit] == 1 or (name == fit and exact[name] == 1)
        names.append(fit if is_kept and len(fit) <= MAX_NAME else _marked(fit, place))

    return names


def name_of(operation_id: str | None, method: str, path: str) -> str:
    """Return what an operation is called: as it says, else by method and path."""
    return operation_id or f"{method}_{path.strip('/').replace('{', '').replace('}', '')}"


def argument_name(name: str, place: str, taken: Collection[str]) -> str:
    """Return a name for an argument that no other argument has."""
    fit = _UNFIT_ARGUMENT.sub("_", name).strip("_")[:MAX_NAME] or place
    candidates = (fit, f"{place}_{fit}"[:MAX_NAME])

    for candidate in candidates:
        if candidate not in taken:
            return candidate

    number = 2

    while (candidate := f"{place}_{fit}"[: MAX_NAME - 6] + f"_{number}") in taken:
        number += 1

    return candidate


def is_plain(name: str) -> bool:
    """Tell whether a name is one that every client takes for an argument."""
    return 0 < len(name) <= MAX_NAME and not _UNFIT_ARGUMENT.search(name)


def _fit(name: str) -> str:
    return _UNFIT.sub("_", name).strip("_") or "operation"


def _marked(fit: str, place: str) -> str:
    digest = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{fit[: MAX_NAME - _HASH_LENGTH - 1]}_{digest}"
