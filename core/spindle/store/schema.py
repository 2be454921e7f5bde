"""Brings a database to the current schema.

A fresh one is created from the metadata and stamped. Only an older one meets Alembic, which is
imported then and not before: it costs a third of a second and some megabytes.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, Table, Text, insert, inspect, select

from spindle.store.database import UnusableDatabase
from spindle.store.tables import METADATA, REVISION

HEAD = "0003"
"""The newest migration in `migrations/versions`."""

MIGRATIONS = Path(__file__).parent / "migrations"

_STAMP = Table("alembic_version", MetaData(), Column("version_num", Text, primary_key=True))


def prepare_schema(connection: Connection) -> None:
    """Create or upgrade the schema inside the caller's transaction.

    Raises:
        UnusableDatabase: The database holds something else, or comes from a newer version.
    """
    tables = set(inspect(connection).get_table_names())

    if _STAMP.name in tables:
        found = connection.execute(select(_STAMP.c.version_num)).scalar_one_or_none()

        if found != HEAD:
            _upgrade(connection, found)
    elif tables & set(METADATA.tables):
        raise UnusableDatabase("it has tables of the same names that Spindle did not make")
    else:
        _create(connection)


def stamped_version(connection: Connection) -> str | None:
    """Return the version a database is stamped with; None when it has none."""
    if _STAMP.name not in inspect(connection).get_table_names():
        return None

    return connection.execute(select(_STAMP.c.version_num)).scalar_one_or_none()


def _create(connection: Connection) -> None:
    METADATA.create_all(connection, checkfirst=False)
    _STAMP.create(connection)
    connection.execute(insert(_STAMP).values(version_num=HEAD))
    connection.execute(insert(REVISION).values(id=1, value=0))


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}

    if found is not None and found not in known:
        raise UnusableDatabase(f"its schema {found!r} is not known here; a newer Spindle made it")

    config.attributes["connection"] = connection
    command.upgrade(config, "head")
