"""The contract between Spindle's core and its modules: data, six services, one base class.

No dependencies beyond the standard library. Import from the submodules by subject
(`spindle_spi.catalog`, `spindle_spi.errors`, …); the names below are the ones every module needs.
"""

from __future__ import annotations

from spindle_spi.context import AuthenticatedContext
from spindle_spi.descriptor import ModuleDescriptor
from spindle_spi.errors import GatewayError
from spindle_spi.ingress import PUBLIC, Call, IngressPrefix, IngressRoute
from spindle_spi.module import Module, ModuleContext
from spindle_spi.plugin import Plugin
from spindle_spi.services import Services
from spindle_spi.versions import SPI_VERSIONS

__all__ = [
    "PUBLIC",
    "SPI_VERSIONS",
    "AuthenticatedContext",
    "Call",
    "GatewayError",
    "IngressPrefix",
    "IngressRoute",
    "Module",
    "ModuleContext",
    "ModuleDescriptor",
    "Plugin",
    "Services",
]
