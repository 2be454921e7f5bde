"""Public keys and shared secrets of issuers, each fit for its algorithms and for nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc import jwa
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from spindle_spi.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spindle_spi.types import Json

_KINDS: Final[Mapping[str, str]] = {"oct": "HS256", "RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}
_CURVES: Final[Mapping[str, str]] = {"EC": "P-256", "OKP": "Ed25519"}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MIN_SECRET_BYTES = 32
_MIN_RSA_BITS = 2048
_MAX_RSA_BITS = 8192
_MAX_KEYS = 100
_FAULTS = (JoseError, ValueError, TypeError, KeyError, AttributeError)


class KeysRefused(Exception):
    """There is no usable key in there; the reason shows nothing of it."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key and the one algorithm it is for."""

    kid: str | None
    algorithm: str
    key: Key

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Tell whether the signature is this key's."""
        try:
            return bool(_models()[self.algorithm].verify(signed, signature, self.key))
        except _FAULTS:
            return False


@cache
def _models() -> Mapping[str, jwa.JWSAlgModel]:
    return {model.name: model for model in jwa.JWS_ALGORITHMS if model.name in _KINDS.values()}


def read_key(text: str, algorithms: Sequence[str], path: str) -> tuple[VerifyingKey, ...]:
    """Return the key of a file or variable: a shared secret for HS256, else a PEM public key.

    Raises:
        ConfigError: It is none that fits; never shows it.
    """
    is_pem = "-----BEGIN" in text

    if "HS256" in algorithms:
        if is_pem:
            # Whoever knows the public key could sign with it.
            raise ConfigError([f"{path}: a public or private key; HS256 needs a shared secret"])

        if len(text.encode()) < _MIN_SECRET_BYTES:
            raise ConfigError(
                [f"{path}: a secret for HS256 has {_MIN_SECRET_BYTES} bytes at least"]
            )

        return (VerifyingKey(None, "HS256", OctKey.import_key(text.encode())),)

    if not is_pem:
        raise ConfigError([f"{path}: expected a public key in PEM form"])

    for kind, algorithm in _KINDS.items():
        if algorithm in algorithms:
            key = _pem_key(kind, text)

            if key is not None:
                return (VerifyingKey(None, algorithm, key),)

    raise ConfigError([f"{path}: not a public key for {' or '.join(algorithms)}"])


def read_jwks(document: Mapping[str, Json], algorithms: Iterable[str]) -> tuple[VerifyingKey, ...]:
    """Return the usable keys of a JWKS; those for other uses and algorithms are left out.

    Raises:
        KeysRefused: None is usable, or there are too many.
    """
    entries = document.get("keys")

    if not isinstance(entries, list):
        raise KeysRefused("no list of keys")

    if len(entries) > _MAX_KEYS:
        raise KeysRefused(f"more than {_MAX_KEYS} keys")

    allowed = frozenset(algorithms)
    keys = [key for entry in entries if (key := _jwk(entry, allowed)) is not None]

    if not keys:
        raise KeysRefused("no usable key")

    return tuple(keys)


def _jwk(entry: Json, allowed: frozenset[str]) -> VerifyingKey | None:
    if not isinstance(entry, dict) or not _PRIVATE.isdisjoint(entry):
        return None

    kind, kid = entry.get("kty"), entry.get("kid")
    algorithm = _KINDS.get(kind) if isinstance(kind, str) else None

    if algorithm is None or algorithm not in allowed or not isinstance(kid, str | None):
        return None

    operations = entry.get("key_ops", ["verify"])
    is_for_this = (
        entry.get("use", "sig") == "sig"
        and entry.get("alg", algorithm) == algorithm
        and isinstance(operations, list)
        and "verify" in operations
    )

    if not is_for_this:
        return None

    # Nothing else of the entry is handed on: not x5u, not x5c, not jku.
    members: dict[str, str | list[str]] = {
        name: value
        for name in ("kty", "n", "e", "crv", "x", "y")
        if isinstance(value := entry.get(name), str)
    }
    key = _import(str(kind), members)
    return None if key is None else VerifyingKey(kid, algorithm, key)


def _import(kind: str, material: dict[str, str | list[str]] | str) -> Key | None:
    try:
        match kind:
            case "RSA":
                key: Key = RSAKey.import_key(material)
            case "EC":
                key = ECKey.import_key(material)
            case "OKP":
                key = OKPKey.import_key(material)
            case _:
                return None

        return key if _is_strong(key) else None
    except _FAULTS:
        return None


def _is_strong(key: Key) -> bool:
    match key:
        case RSAKey():
            return _MIN_RSA_BITS <= key.public_key.key_size <= _MAX_RSA_BITS
        case ECKey():
            return key.curve_name == _CURVES["EC"]
        case OKPKey():
            return isinstance(key.public_key, Ed25519PublicKey)
        case _:
            return False


def _pem_key(kind: str, text: str) -> Key | None:
    key = _import(kind, text)
    return None if key is None or key.is_private else key
