"""How a command ends when it cannot do its work: what is wrong, on stderr, and exit code 1."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TypeGuard

import typer

if TYPE_CHECKING:
    from collections.abc import Generator


class Failure(Exception):
    """A command cannot do its work; the message says why and what to do."""


def fail(*lines: str) -> NoReturn:
    """Say why, and end the command."""
    for line in lines:
        sys.stderr.write(f"{line}\n")

    raise typer.Exit(1)


@contextmanager
def reported() -> Generator[None]:
    """Turn the failures an operator can mend into lines; anything else is a defect of ours."""
    from spindle.host import StartFailed
    from spindle.loader import ModulesRejected
    from spindle.server import PortTaken
    from spindle_spi.errors import ConfigError

    lines: list[str] = []

    try:
        yield
    except* (ConfigError, ModulesRejected, StartFailed) as group:
        lines += [fault for exc in _leaves(group) for fault in getattr(exc, "faults", ())]
    except* (PortTaken, Failure) as group:
        lines += [str(exc) for exc in _leaves(group)]
    except* OSError as group:
        lines += [_sentence(exc) for exc in _leaves(group)]

    if lines:
        fail(*dict.fromkeys(lines))


def _leaves(exc: BaseException) -> list[BaseException]:
    if not _is_group(exc):
        return [exc]

    return [leaf for inner in exc.exceptions for leaf in _leaves(inner)]


def _is_group(exc: BaseException) -> TypeGuard[BaseExceptionGroup[BaseException]]:
    return isinstance(exc, BaseExceptionGroup)


def _sentence(exc: BaseException) -> str:
    if isinstance(exc, OSError) and exc.filename:
        return f"{exc.filename}: {exc.strerror}."

    return str(exc)
