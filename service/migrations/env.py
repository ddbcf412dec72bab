"""Runs the migrations on the connection that `service.database` hands over."""

from alembic import context

from service.tables import tables

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=tables, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
