"""Whom the attempts of a model call asked, in the words of the conventions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from spindle.telemetry.semconv import OTHER, provider_of
from spindle_spi.admission import Attempt, Status
from spindle_spi.records import ModelSpec, ProviderSpec

if TYPE_CHECKING:
    from spindle_spi.admission import Outcome, Permit
    from spindle_spi.records import CatalogRecord

OK = "ok"
"""What an attempt that went well says of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One model at one provider."""

    operation: str
    provider: str
    model: str
    """As its provider calls it."""
    address: str | None = None
    """Host of the provider, when it has only one."""
    port: int | None = None


def attempts_of(permit: Permit, outcome: Outcome) -> tuple[Attempt, ...]:
    """Return the attempts of a model call; one that answered and told of none made one."""
    if outcome.attempts or outcome.cache_hit:
        return outcome.attempts

    if outcome.status not in (Status.OK, Status.PARTIAL):
        return ()

    return (
        Attempt(
            backend="" if permit.backend is None else permit.backend.name,
            target=outcome.served_by or permit.record.name,
            outcome=OK if outcome.status is Status.OK else outcome.error_code or "partial",
            milliseconds=outcome.total_ms,
        ),
    )


def asked_by(permit: Permit, attempt: Attempt) -> Asked:
    """Return whom an attempt asked; what the permit does not name is unknown."""
    record = _named(attempt.target, permit.record, *permit.alternatives)
    backend = _named(attempt.backend, permit.backend, *permit.alternative_backends)
    spec = None if record is None else record.spec
    address, port = _address(backend)
    return Asked(
        operation=operation_of(permit.record if record is None else record),
        provider=provider_name(backend),
        model=spec.upstream_name if isinstance(spec, ModelSpec) else OTHER,
        address=address,
        port=port,
    )


def provider_name(backend: CatalogRecord | None) -> str:
    """Return what the conventions call a backend: its adapter's name."""
    spec = None if backend is None else backend.spec
    return provider_of(spec.provider_type) if isinstance(spec, ProviderSpec) else OTHER


def operation_of(record: CatalogRecord) -> str:
    """Return what is done with a model."""
    spec = record.spec

    if not isinstance(spec, ModelSpec):
        return "chat"

    is_silent = "embedding" in spec.supports and "chat" not in spec.supports
    return "embeddings" if is_silent or spec.model_type == "embeddings" else "chat"


def _named(name: str, *records: CatalogRecord | None) -> CatalogRecord | None:
    return next((found for found in records if found is not None and found.name == name), None)


def _address(backend: CatalogRecord | None) -> tuple[str | None, int | None]:
    spec = None if backend is None else backend.spec

    # Of several addresses nobody says which one was asked.
    if not isinstance(spec, ProviderSpec) or len(spec.urls) != 1:
        return None, None

    try:
        parts = urlsplit(spec.urls[0])
        # Never what stands before the host: it may be a password.
        return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None, None
