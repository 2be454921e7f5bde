"""Commands set the process's logging up; a test's process is shared."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {
        name: known.level
        for name, known in logging.root.manager.loggerDict.items()
        if isinstance(known, logging.Logger)
    }
    yield

    for handler in set(root.handlers) - set(handlers):
        handler.close()

    root.handlers, root.level = handlers, level

    for name, known in logging.root.manager.loggerDict.items():
        if isinstance(known, logging.Logger):
            known.setLevel(levels.get(name, logging.NOTSET))

    structlog.reset_defaults()
