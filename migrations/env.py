"""Alembic's environment: runs on the connection that ``esb.store.migration`` hands over; there is no alembic.ini."""

from alembic import context

from esb.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    transactional_ddl=True,  # on SQLite too: a failed migration leaves nothing behind
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite changes a column by copying its table
)
with context.begin_transaction():
    context.run_migrations()
