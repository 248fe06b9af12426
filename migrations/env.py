"""Alembic environment of imgvec's own schema: own tables, own version table, nothing of the application's."""

from alembic import context
from psycopg import sql

from imgvec_pg.alembic.autogenerate import include_imgvec_name, include_imgvec_object
from imgvec_pg.database.migrations import prepare_database
from imgvec_pg.database.sql_templates import as_alembic_text, render
from imgvec_pg.shards import shard_tables  # noqa: F401 - its tables are of Base
from imgvec_pg.store.schema import Base
from imgvec_pg.store.setup.grants import grant_rights

config = context.config
OPTIONS = {
    "version_table_schema": "imgvec",
    "target_metadata": Base.metadata,
    "include_schemas": True,
    "include_name": include_imgvec_name,
    "include_object": include_imgvec_object,
    "compare_server_default": True,
}


def run_offline() -> None:
    schema = config.attributes.setdefault("vector_schema", "public")
    context.configure(
        dialect_name="postgresql",
        # Any other style would print each % twice.
        dialect_opts={"paramstyle": "named"},
        literal_binds=True,
        output_buffer=config.output_buffer,
        **OPTIONS,
    )
    with context.begin_transaction():
        prepare = as_alembic_text(
            "prepare_offline.sql",
            vector=sql.Identifier(schema),
            vector_name=sql.Literal(schema),
            require_own_schema=render("require_own_schema.sql"),
        )
        context.execute(prepare)
        context.run_migrations()


def run_online() -> None:
    connection = config.attributes["connection"]
    context.configure(connection=connection, **OPTIONS)
    with context.begin_transaction():
        # The version table lives in the schema, so the schema comes first.
        driver = connection.connection.driver_connection
        prepares = config.attributes.get("prepare")
        if prepares:
            config.attributes.update(prepare_database(driver))
        context.run_migrations()
        if prepares:
            # For roles that came later than the schema, under the lock that prepare_database took.
            grant_rights(driver)


if context.is_offline_mode():
    run_offline()
else:
    run_online()
