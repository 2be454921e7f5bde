"""What outlives a process: tokens, records, sessions and usage, in SQLite or PostgreSQL."""

from __future__ import annotations

from typing import Self

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from spindle.store.audit import AuditLog
from spindle.store.budgets import Budgets
from spindle.store.catalog import Catalog
from spindle.store.database import Database, UnusableDatabase
from spindle.store.invitations import Invitations
from spindle.store.kept import KeptSecrets
from spindle.store.limits import RateLimits
from spindle.store.logins import Logins
from spindle.store.outage import StoreUnavailable
from spindle.store.outbox import Outbox
from spindle.store.people import Users
from spindle.store.pins import Pins
from spindle.store.plugins import StoredPlugins
from spindle.store.roles import Roles
from spindle.store.rows import TokenRow, UsageRow
from spindle.store.schema import prepare_schema
from spindle.store.secrets import Secrets
from spindle.store.sessions import Sessions
from spindle.store.teams import Teams
from spindle.store.tokens import Tokens
from spindle.store.usage import Usage
from spindle.store.usage_reports import UsageReports
from spindle.store.versions import Versions
from spindle_spi.errors import ConfigError

__all__ = ["Store", "StoreUnavailable", "TokenRow", "UsageRow"]


class Store:
    """The repositories over one database. Open it with `Store.open`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tokens = Tokens(database)
        self.users = Users(database)
        self.teams = Teams(database)
        self.roles = Roles(database)
        self.invitations = Invitations(database)
        self.logins = Logins(database)
        self.catalog = Catalog(database)
        self.sessions = Sessions(database)
        self.usage = Usage(database)
        self.usage_reports = UsageReports(database)
        self.plugins = StoredPlugins(database)
        self.pins = Pins(database)
        self.outbox = Outbox(database)
        self.rate_limits = RateLimits(database)
        self.budgets = Budgets(database)
        self.secrets = Secrets(database)
        self.kept_secrets = KeptSecrets(database)
        self.audit = AuditLog(database)
        self.versions = Versions(database)

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open a database, creating or upgrading its schema.

        Raises:
            ConfigError: It cannot be opened, or holds something else; never shows a password.
        """
        parsed = make_url(url)
        shown = parsed.render_as_string(hide_password=True)
        database: Database | None = None

        try:
            database = Database(parsed)

            async with database.preparing() as connection:
                await connection.run_sync(prepare_schema)
        except (OSError, ImportError, SQLAlchemyError, UnusableDatabase, StoreUnavailable) as exc:
            if database is not None:
                await database.close()

            cause = exc.__cause__ if isinstance(exc, StoreUnavailable) else exc
            reason = getattr(cause, "orig", None) or cause or exc
            raise ConfigError([f"store.url: {shown} cannot be used: {reason}"]) from exc

        return cls(database)

    @property
    def is_available(self) -> bool:
        """Whether the last read and the last write worked."""
        return self.database.is_available

    async def revision(self) -> int:
        """Return the number of the last change of tokens or catalog."""
        return await self.database.revision()

    async def close(self) -> None:
        """Close the database."""
        await self.database.close()
