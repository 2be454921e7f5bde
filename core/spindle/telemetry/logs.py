"""Sets up logging: structlog and the standard library's loggers, one format, one redaction.

JSON lines when nobody watches, readable lines on a terminal, and a file where one is configured.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import structlog

from spindle.redaction import REDACTOR, Redactor
from spindle.telemetry.log_file import FileLimits, LogFile

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from pathlib import Path

    from structlog.typing import Processor


class LogSettings(Protocol):
    """What the set-up needs to know; a logger's part of the configuration has it."""

    @property
    def console_level(self) -> str:
        """Least level shown on the console."""
        ...

    @property
    def file_level(self) -> str:
        """Least level written to the file."""
        ...

    @property
    def file(self) -> str | None:
        """Path of the file, from the home directory; None writes none."""
        ...

    @property
    def max_size_mb(self) -> int:
        """Size at which the file is rotated."""
        ...

    @property
    def max_backups(self) -> int:
        """Rotated files to keep."""
        ...

    @property
    def max_age_days(self) -> int:
        """Age at which a rotated file is removed."""
        ...


def configure_logging(
    settings: LogSettings,
    *,
    home: Path,
    console: TextIO | None = None,
    redactor: Redactor = REDACTOR,
) -> None:
    """Route every log line of the process through one format and one redaction filter.

    Raises:
        OSError: The log file cannot be written.
    """
    stream = console or sys.stderr
    handlers: list[logging.Handler] = [logging.StreamHandler(stream)]
    handlers[0].setLevel(_level(settings.console_level))
    handlers[0].setFormatter(_formatter(redactor, readable=stream.isatty()))

    if settings.file is not None:
        handlers.append(_file_handler(settings, home / settings.file, handlers[0]))
        handlers[1].setFormatter(_formatter(redactor, readable=False))

    root = logging.getLogger()

    for old in tuple(root.handlers):
        root.removeHandler(old)
        old.close()

    for handler in handlers:
        root.addHandler(handler)

    root.setLevel(min(handler.level for handler in handlers))

    for name in _QUIET:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))

    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        cache_logger_on_first_use=False,
    )


_QUIET = ("aiosqlite", "asyncio", "sqlalchemy")
"""Loggers that write every statement with its values when they are asked for details."""

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def _formatter(redactor: Redactor, *, readable: bool) -> logging.Formatter:
    def redact(logger: object, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        del logger, method
        masked = redactor.data(event)
        return masked if isinstance(masked, dict) else {"event": masked}

    render: Processor = (
        structlog.dev.ConsoleRenderer(colors=False, sort_keys=False)
        if readable
        else structlog.processors.JSONRenderer(ensure_ascii=True)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            # Before the redaction: what an exception says is masked like everything else.
            structlog.processors.format_exc_info,
            redact,
            render,
        ],
    )


def _file_handler(settings: LogSettings, path: Path, console: logging.Handler) -> logging.Handler:
    limits = FileLimits(
        max_bytes=settings.max_size_mb * 1024 * 1024,
        max_backups=settings.max_backups,
        max_age_days=settings.max_age_days,
    )
    handler = LogFile(path, limits, console)
    handler.setLevel(_level(settings.file_level))
    return handler


def _level(name: str) -> int:
    return logging.getLevelNamesMapping()[name.upper()]
