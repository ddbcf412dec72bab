"""Runs the migrations on the connection that `service.store.database` hands over."""

from alembic import context

from service.store.tables import tables

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=tables, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
