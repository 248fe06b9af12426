"""Alembic environment of imgvec's own schema: own tables, own version table, nothing of the application's."""

from alembic import context

config = context.config
OPTIONS = {"version_table_schema": "imgvec", "include_schemas": True}


def run_offline() -> None:
    context.configure(
        dialect_name="postgresql", literal_binds=True, output_buffer=config.output_buffer, **OPTIONS
    )
    with context.begin_transaction():
        context.execute("CREATE EXTENSION IF NOT EXISTS vector")
        context.execute("CREATE SCHEMA IF NOT EXISTS imgvec")
        context.run_migrations()


def run_online() -> None:
    connection = config.attributes["connection"]
    context.configure(connection=connection, **OPTIONS)
    with context.begin_transaction():
        # The version table lives in the schema, so the schema comes first.
        connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS imgvec")
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
