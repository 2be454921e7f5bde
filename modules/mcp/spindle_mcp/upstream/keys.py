"""The secrets a connection to an upstream stands on: its credential, a program's variables."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_spi.secret import SecretLease

if TYPE_CHECKING:
    from spindle_mcp.upstream.connections.base import Upstream
    from spindle_spi.config_secrets import ConfigSecretsService
    from spindle_spi.records import GatewaySpec
    from spindle_spi.secret import Secret

_SHORTEST = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Leased for a while; who goes on has to lease anew."""

    credential: SecretLease | None
    environment: Mapping[str, SecretLease]

    @property
    def is_over(self) -> bool:
        """Whether one of the leases has ended."""
        return any(lease.expires_at <= time.time() for lease in self._leases())

    @property
    def secret(self) -> Secret | None:
        """The credential."""
        return None if self.credential is None else self.credential.secret

    @property
    def variables(self) -> dict[str, Secret]:
        """The values of the program's variables."""
        return {name: lease.secret for name, lease in self.environment.items()}

    def until(self, wait: float) -> float:
        """Return the seconds to wait, no longer than the leases last."""
        left = [lease.expires_at - time.time() for lease in self._leases()]
        return max(_SHORTEST, min(wait, *left)) if left else wait

    def allow(self, upstream: Upstream, before: Keys) -> bool:
        """Tell whether a connection that was made with other leases can be used with these."""
        if self.variables != before.variables:
            return False

        if self.secret is None:
            return before.secret is None

        return self.secret == before.secret or upstream.take_credential(self.secret)

    def _leases(self) -> list[SecretLease]:
        first = [] if self.credential is None else [self.credential]
        return [*first, *self.environment.values()]


async def lease_keys(spec: GatewaySpec, secrets: ConfigSecretsService) -> Keys:
    """Lease what a gateway's spec refers to.

    Raises:
        GatewayError: A secret cannot be had.
    """
    credential = spec.credential
    return Keys(
        credential=None if credential is None else await secrets.lease(credential),
        environment={
            name: await secrets.lease(ref) for name, ref in spec.environment_secrets.items()
        },
    )
