"""Which limits hold for a caller: rows of the store before the configuration, names before `*`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spindle.config.limits import LimitSettings, RateEntry
    from spindle.store.limits import RateLimitRow
    from spindle_spi.context import Subject

EACH = "*"


@dataclass(frozen=True, slots=True)
class Rate:
    """What may be done in a minute; None is not limited."""

    requests: int | None
    tokens: int | None

    @property
    def is_limit(self) -> bool:
        """Whether it limits anything."""
        return self.requests is not None or self.tokens is not None


class LimitRules:
    """All limits, compiled. One row or entry decides for a scope: they are not mixed."""

    def __init__(
        self,
        settings: LimitSettings,
        rows: Iterable[RateLimitRow] = (),
        roles: Mapping[str, str] | None = None,
    ) -> None:
        self._roles = roles or {}
        self._rates: dict[tuple[str, str], Rate] = {
            ("token", EACH): Rate(settings.requests_per_minute, settings.tokens_per_minute),
            ("user", EACH): _rate(settings.each_user),
            ("team", EACH): _rate(settings.each_team),
        }

        for scope, entries in (
            ("role", settings.roles),
            ("user", settings.users),
            ("team", settings.teams),
        ):
            for name, entry in entries.items():
                self._rates[scope, _key(scope, name)] = _rate(entry)

        for row in rows:
            self._rates[row.scope, _key(row.scope, row.name)] = Rate(
                row.requests_per_minute, row.tokens_per_minute
            )

        self.is_active = any(rate.is_limit for rate in self._rates.values())
        self.knows_roles = any(scope == "role" for scope, _ in self._rates)

    def of(self, subject: Subject, team: str | None, address: str) -> list[tuple[str, Rate]]:
        """Return the limits of a caller by holder; `address` stands for who has no token."""
        rates = self._rates
        each = rates["token", EACH]
        found: list[tuple[str, Rate]] = []

        if subject.token_id is None:
            found.append((f"address:{address}", each))
        else:
            role = self._roles.get(subject.token_id, "")
            by_role = rates.get(("role", role), each)
            rate = rates.get(("token", subject.token_id), by_role)
            found.append((f"token:{subject.token_id}", rate))

        if subject.user_email is not None:
            email = subject.user_email.lower()
            found.append((f"user:{email}", rates.get(("user", email), rates["user", EACH])))

        if team is not None:
            found.append((f"team:{team}", rates.get(("team", team), rates["team", EACH])))

        return [(key, rate) for key, rate in found if rate.is_limit]


def _key(scope: str, name: str) -> str:
    return name.lower() if scope == "user" else name


def _rate(entry: RateEntry) -> Rate:
    return Rate(entry.requests_per_minute, entry.tokens_per_minute)
