"""How Alembic runs the migrations: on the connection it is handed, inside its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import context

from spindle.store.tables import METADATA

if TYPE_CHECKING:
    from sqlalchemy import Connection

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)

with context.begin_transaction():
    context.run_migrations()
