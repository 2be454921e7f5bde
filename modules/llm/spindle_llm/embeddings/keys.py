"""What makes two inputs the same: who asks, which upstream model with which parameters, the input.

The model is named by where it is asked (type, addresses and options of its provider, the upstream's
name), not by its record: whatever changes vectors changes the key, and nothing else does.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from spindle_spi.records import ProviderSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_llm.embeddings.asking import Asker
    from spindle_llm.embeddings.query import Input
    from spindle_spi.context import Subject
    from spindle_spi.types import Json, JsonObject

_IRRELEVANT = frozenset({"user"})
"""Parameters that no vector depends on."""


def keys_of(asker: Asker, inputs: Sequence[Input], *, shared: bool) -> list[str]:
    """Return the key of every input, for who asks; `shared` when it does not matter who does."""
    provider = None if asker.permit.backend is None else asker.permit.backend.spec
    parameters = {
        name: value for name, value in asker.parameters.items() if name not in _IRRELEVANT
    }
    common: JsonObject = {
        "partition": None if shared else _partition(asker.context.subject),
        "model": asker.spec.upstream_name,
        "provider": _place(provider) if isinstance(provider, ProviderSpec) else None,
        "parameters": parameters,
    }
    prefix = hashlib.sha256(msgspec.json.encode(common, order="deterministic"))
    keys: list[str] = []

    for entry in inputs:
        digest = prefix.copy()
        digest.update(msgspec.json.encode(entry))
        keys.append(digest.hexdigest())

    return keys


def whole_key(keys: Sequence[str]) -> str:
    """Return the key of a request, made of those of its inputs."""
    return keys[0] if len(keys) == 1 else hashlib.sha256("".join(keys).encode()).hexdigest()


def input_hash(inputs: Sequence[Input]) -> str:
    """Return the hash by which events refer to the inputs."""
    return hashlib.sha256(msgspec.json.encode(inputs)).hexdigest()


def _partition(subject: Subject) -> Json:
    """Return who may be answered from the same kept vectors: a team, else one caller."""
    if subject.token_teams:
        return {"teams": [*sorted(subject.token_teams)]}

    return {"user": subject.user_email, "token": None if subject.user_email else subject.token_id}


def _place(spec: ProviderSpec) -> Json:
    return {
        "type": spec.provider_type,
        "urls": [*spec.urls],
        "version": spec.api_version,
        "options": spec.options,
    }
