"""How the module's commands reach a gateway: what the command line leaves in the context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path


class Token(Protocol):
    """A secret the command line hands over."""

    def reveal(self) -> str:
        """Return its text."""
        ...


class Connection(Protocol):
    """Where a gateway is, and the token to show it."""

    @property
    def url(self) -> str:
        """Return its base address."""
        ...

    @property
    def token(self) -> Token:
        """Return the token."""
        ...


class GatewayAccess(Protocol):
    """How a command reaches a gateway: the one that runs, or one of its own."""

    @property
    def environ(self) -> Mapping[str, str]:
        """Return the variables the command was started with."""
        ...

    def find(self) -> str | None:
        """Return the address of a gateway that is there; None when there is none."""
        ...

    def open(self) -> AbstractAsyncContextManager[Connection]:
        """Give a connection for as long as it is held."""
        ...


class ReachGateway(Protocol):
    """What the command line leaves in the context for commands of modules."""

    def __call__(self, home: Path | None = None) -> GatewayAccess:
        """Return the way to the gateway of a home directory."""
        ...
