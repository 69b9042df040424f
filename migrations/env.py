"""Alembic's environment: runs on the connection that ``esb.store.migration`` hands over; there is no alembic.ini.

The transaction is the caller's, on SQLite too: a migration that fails leaves nothing behind.
"""

from alembic import context

from esb.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite changes a column by copying its table
)
with context.begin_transaction():
    context.run_migrations()
