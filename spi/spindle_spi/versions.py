"""SPI versions, and agreement on one before any traffic."""

from __future__ import annotations

from collections.abc import Sequence

from spindle_spi.errors import ContractViolation

SPI_VERSIONS: tuple[str, ...] = ("1.0",)
"""Versions this package implements, newest first."""


def negotiate(
    *, host: str, host_versions: Sequence[str], module: str, module_versions: Sequence[str]
) -> str:
    """Return the newest version both sides speak.

    Raises:
        ContractViolation: There is none; the message names both sides and what each speaks.
    """
    common = [version for version in host_versions if version in module_versions]

    if not common:
        raise ContractViolation(
            f"{host} speaks SPI {_listed(host_versions)}, "
            f"the module {module} speaks SPI {_listed(module_versions)}: no version in common.",
            code="spi.version_incompatible",
        )

    return max(common, key=_order)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _listed(versions: Sequence[str]) -> str:
    return ", ".join(versions) or "none"
