"""The keys that secrets in the database are encrypted with, and where they may be.

`SPINDLE_SECRET_KEY` beats the file. Either holds one key or several; the first one encrypts, every
one decrypts. They are read anew whenever they are needed, which is seldom.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import structlog

from spindle.redaction import REDACTOR
from spindle_spi.errors import FailedPrecondition
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from spindle.config import Settings

VARIABLE: Final = "SPINDLE_SECRET_KEY"
FILE_NAME: Final = "secret.key"
"""Of the key that a development gateway makes in its home."""

_LOG = structlog.get_logger("spindle.vault")
_KEY_BYTES = 32
_MAX_FILE_BYTES = 65_536
_HELP = f"set {VARIABLE} or secrets.key_file to a key of `spindle secrets new-key`"


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKeys:
    """Where the keys of this process are."""

    given: Secret | None
    """What the environment says."""
    file: Path | None
    """The configured file."""
    home: Path
    is_production: bool
    _told: set[str] = field(default_factory=set[str])

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the places a configuration names."""
        return cls(
            given=settings.secret_key,
            file=settings.secret_key_file,
            home=settings.home,
            is_production=settings.environment == "production",
        )

    def read(self) -> tuple[Secret, ...]:
        """Return the keys, the one that encrypts first; none when nobody made any.

        Raises:
            FailedPrecondition: A place is named that has no usable key, or may not have one.
        """
        if self.given is not None and self.given.reveal().strip():
            return _parsed(self.given.reveal(), VARIABLE)

        if self.file is not None:
            self._check_place(self.file)
            return _parsed(_text(self.file), str(self.file))

        own = self.home / FILE_NAME

        # A production gateway does not use a key that lies beside what it encrypts.
        if self.is_production or not own.exists():
            return ()

        return _parsed(_text(own), str(own))

    def read_or_make(self) -> tuple[Secret, ...]:
        """Return the keys; a development gateway without any makes one in its home.

        Raises:
            FailedPrecondition: There is none and none may be made; says where to put one.
        """
        keys = self.read()

        if keys:
            return keys

        if self.is_production:
            raise FailedPrecondition(
                f"There is no key to encrypt secrets with: {VARIABLE} is not set and no "
                f"secrets.key_file is configured; {_HELP}.",
                code="core.secret.no_key",
            )

        own = self.home / FILE_NAME
        _create(own, new_key())
        _LOG.warning(
            "made a key for stored secrets; keep a copy of it apart from the database",
            file=str(own),
        )
        return _parsed(_text(own), str(own))

    def _check_place(self, file: Path) -> None:
        if self.is_production and file.resolve().is_relative_to(self.home.resolve()):
            raise FailedPrecondition(
                f"secrets.key_file: {file} is inside the home directory, where the database may "
                "be; in production the key must be somewhere else.",
                code="core.secret.key_place",
            )

        try:
            is_open = bool(file.stat().st_mode & 0o007)
        except OSError:
            return

        if is_open and str(file) not in self._told:
            self._told.add(str(file))
            _LOG.warning("everybody on this machine can read the key file", file=str(file))


def new_key() -> Secret:
    """Return a fresh key."""
    return Secret(base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode())


def key_id(key: Secret) -> str:
    """Return a key's fingerprint: it says which key, and nothing about it."""
    return hashlib.blake2b(key.reveal().encode(), digest_size=6, person=b"spindle-key").hexdigest()


def _text(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            return stream.read(_MAX_FILE_BYTES)
    except (OSError, UnicodeDecodeError) as exc:
        raise FailedPrecondition(
            f"The key file {file} cannot be read ({type(exc).__name__}); {_HELP}.",
            code="core.secret.no_key",
        ) from exc


def _parsed(text: str, place: str) -> tuple[Secret, ...]:
    keys = tuple(Secret(word) for word in re.split(r"[\s,]+", text) if word)

    for number, key in enumerate(keys, start=1):
        REDACTOR.register(key)

        if not _is_key(key.reveal()):
            raise FailedPrecondition(
                f"{place}: key {number} of {len(keys)} is none; expected 32 bytes in URL-safe "
                "Base64, as `spindle secrets new-key` makes them.",
                code="core.secret.bad_key",
            )

    if not keys:
        raise FailedPrecondition(
            f"{place} holds no key; {_HELP}.",
            code="core.secret.no_key",
        )

    return keys


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, altchars=b"-_", validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def _create(path: Path, key: Secret) -> None:
    """Write the file whole or not at all; who comes second keeps the first one's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    with os.fdopen(descriptor, "w") as file:
        file.write(f"{key.reveal()}\n")
        file.flush()
        os.fsync(file.fileno())

    try:
        os.link(draft, path)
    except FileExistsError:
        _LOG.debug("another process made the key file", file=str(path))
    finally:
        draft.unlink()
