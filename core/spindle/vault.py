"""Secrets in the database, encrypted with the master key.

Cryptography is imported when there is a stored secret, or one is put, and not before. A secret
that no key opens is unavailable, and says so when it is asked for; everything else goes on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from spindle.master_key import VARIABLE, key_id
from spindle.redaction import REDACTOR, Redactor
from spindle.store.secrets import KEPT, is_kept
from spindle_spi.errors import FailedPrecondition, InvalidArgument, NotFound
from spindle_spi.secret import Secret, SecretRef

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cryptography.fernet import MultiFernet

    from spindle.master_key import MasterKeys
    from spindle.store import Store
    from spindle.store.audit import AuditRow
    from spindle.store.secrets import SealedRow

_LOG = structlog.get_logger("spindle.vault")
_NAME = re.compile(r"[^\s\x00-\x1f\x7f]{1,200}")
_MAX_CHARACTERS = 65_536


@dataclass(frozen=True, slots=True)
class _Opened:
    """A stored secret as this process has it; `secret` is None when no key opens it."""

    epoch: int
    key_id: str
    secret: Secret | None
    why: str = ""


class Vault:
    """Keeps secrets; follows the snapshot, so `reveal` never waits."""

    def __init__(self, store: Store, keys: MasterKeys, redactor: Redactor = REDACTOR) -> None:
        self._store = store
        self._keys = keys
        self._redactor = redactor
        self._opened: dict[str, _Opened] = {}

    def reveal(self, name: str) -> Secret | None:
        """Return a stored secret; None when there is none of that name.

        Raises:
            FailedPrecondition: There is one, but no key here opens it.
        """
        found = self._opened.get(name)

        if found is None:
            return None

        if found.secret is None:
            raise FailedPrecondition(found.why, code="core.secret.locked")

        return found.secret

    def state(self, name: str) -> str | None:
        """Return `stored`, `locked` when no key opens it, or None when there is none."""
        found = self._opened.get(name)
        return None if found is None else "locked" if found.secret is None else "stored"

    async def put(
        self, name: str, value: Secret, *, by: str = "", audit: Sequence[AuditRow] = ()
    ) -> SecretRef:
        """Store a secret under a name, in the place of the one before; return its reference.

        `audit` is written in the same transaction, as with the other changes.

        Raises:
            InvalidArgument: The name or the value cannot be kept.
            FailedPrecondition: There is no key to encrypt with; says where to put one.
        """
        self._redactor.register(value)

        if is_kept(name):
            raise InvalidArgument(f"Names that begin with {KEPT!r} are not given by hand.")

        sealed, sealed_with = await self.seal(name, value)
        row = await self._store.secrets.put(name, sealed, key_id=sealed_with, by=by, audit=audit)
        self._opened[name] = _Opened(row.epoch, row.key_id, value)
        return SecretRef(name=name)

    async def seal(self, name: str, value: Secret) -> tuple[str, str]:
        """Return a value as ciphertext, and the id of the key that opens it.

        Raises:
            InvalidArgument: The name or the value cannot be kept.
            FailedPrecondition: There is no key to encrypt with; says where to put one.
        """
        _check(name, value)
        keys = await self._keys_for_writing()
        return _fernet(keys).encrypt(_packed(name, value)).decode(), key_id(keys[0])

    def unseal(self, row: SealedRow) -> Secret:
        """Return the value of a row.

        Raises:
            FailedPrecondition: No key here opens it.
        """
        keys, fault = self._keys_for_reading()
        found = _open(row, keys, fault)

        if found.secret is None:
            raise FailedPrecondition(found.why, code="core.secret.locked")

        return found.secret

    def conceal(self, value: Secret) -> None:
        """Mask a value in everything that is written, as long as it is not crowded out."""
        self._redactor.register(value, passing=True)

    async def delete(self, name: str, *, audit: Sequence[AuditRow] = ()) -> None:
        """Forget a stored secret.

        Raises:
            NotFound: There is none.
        """
        if not await self._store.secrets.delete(name, audit=audit):
            raise NotFound(f"There is no stored secret {name!r}.", code="core.secret.not_found")

        self._opened.pop(name, None)

    async def rotate(self, *, audit: Sequence[AuditRow] = ()) -> int:
        """Encrypt every stored secret with the first key, all or none; return how many.

        Raises:
            FailedPrecondition: There is no key, or some secret is opened by none of them.
        """
        keys = self._keys.read()
        rows = await self._store.secrets.all()

        if not rows:
            return 0

        locked = [row.name for row in rows if _open(row, keys).secret is None]

        if locked:
            raise FailedPrecondition(
                f"Nothing was changed: no key here opens {', '.join(locked)}. Add the key they "
                f"were encrypted with to {VARIABLE}, behind the new one, or delete them.",
                code="core.secret.locked",
            )

        fernet, first = _fernet(keys), key_id(keys[0])

        def sealed(row: SealedRow) -> tuple[str, str]:
            # Written by another process since then, with a key that is not here.
            if _open(row, keys).secret is None:
                raise FailedPrecondition(_why(row, "no key here"), code="core.secret.locked")

            return fernet.rotate(row.ciphertext).decode(), first

        return await self._store.secrets.replace(sealed, audit=audit)

    async def read(self) -> Callable[[], None]:
        """Read what is stored; return what puts it in force: see `snapshots.Follower`."""
        rows = await self._store.secrets.shared()
        opened = self._open_all(rows) if rows else {}

        def put() -> None:
            self._opened = opened

        return put

    def _open_all(self, rows: Iterable[SealedRow]) -> dict[str, _Opened]:
        keys: tuple[Secret, ...] | None = None
        fault = ""
        opened: dict[str, _Opened] = {}

        for row in rows:
            known = self._opened.get(row.name)

            # A rotation leaves the epoch, so this holds without the key it was rotated to.
            if known is not None and known.epoch == row.epoch and known.secret is not None:
                opened[row.name] = known
                continue

            if keys is None:
                keys, fault = self._keys_for_reading()

            opened[row.name] = found = _open(row, keys, fault)

            if found.secret is not None:
                self._redactor.register(found.secret)
            elif known is None or known.key_id != row.key_id:
                _LOG.error("stored secret unavailable", secret=row.name, reason=found.why)

        return opened

    def _keys_for_reading(self) -> tuple[tuple[Secret, ...], str]:
        try:
            return self._keys.read(), ""
        except FailedPrecondition as exc:
            # The process starts all the same; who needs one of the secrets is told this.
            return (), exc.message

    async def _keys_for_writing(self) -> tuple[Secret, ...]:
        keys = self._keys.read()

        if keys:
            return keys

        rows = await self._store.secrets.all()

        # A second key beside a lost one would leave a database that no single key opens.
        if rows and not self._keys.is_production:
            raise FailedPrecondition(
                f"The key that the {len(rows)} stored secrets were encrypted with is gone: put "
                f"it back, set {VARIABLE}, or delete them (`spindle secrets delete NAME`).",
                code="core.secret.no_key",
            )

        return self._keys.read_or_make()


def _check(name: str, value: Secret) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidArgument("The name of a secret has 1 to 200 characters and no spaces.")

    if not value or len(value.reveal()) > _MAX_CHARACTERS:
        raise InvalidArgument(f"A secret has 1 to {_MAX_CHARACTERS} characters.")


def _fernet(keys: Iterable[Secret]) -> MultiFernet:
    from cryptography.fernet import Fernet, MultiFernet

    return MultiFernet([Fernet(key.reveal()) for key in keys])


def _packed(name: str, value: Secret) -> bytes:
    # With its name inside, a ciphertext moved to another row opens nothing there.
    return json.dumps([name, value.reveal()]).encode()


def _open(row: SealedRow, keys: tuple[Secret, ...], fault: str = "") -> _Opened:
    if not keys:
        return _Opened(row.epoch, row.key_id, None, _why(row, fault or "there is no key here"))

    from cryptography.fernet import InvalidToken

    try:
        name, value = json.loads(_fernet(keys).decrypt(row.ciphertext))
    except InvalidToken:
        return _Opened(row.epoch, row.key_id, None, _why(row, "no key here opens it"))

    if name != row.name:
        return _Opened(row.epoch, row.key_id, None, _why(row, f"it belongs to {name!r}"))

    return _Opened(row.epoch, row.key_id, Secret(value))


def _why(row: SealedRow, reason: str) -> str:
    return (
        f"The stored secret {row.name!r} cannot be read: {reason.rstrip('.')}. It was encrypted "
        f"with the key {row.key_id}: give that key by {VARIABLE} or secrets.key_file, or set the "
        f"secret again (`spindle secrets set {row.name}`)."
    )
