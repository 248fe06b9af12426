"""Settings that a role or database may have and that are not PostgreSQL's own: each has broken something, or might."""

import psycopg
from psycopg import sql

ODD = {
    # How values are printed and text is read.
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "extra_float_digits": "-10",
    "bytea_output": "escape",
    "quote_all_identifiers": "on",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "escape_string_warning": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "xmloption": "document",
    "client_encoding": "LATIN1",
    # Limits in time. A setting is here as it stands where an application's own statements are short.
    "statement_timeout": "1500ms",
    "lock_timeout": "100ms",
    "idle_in_transaction_session_timeout": "700ms",
    "transaction_timeout": "2s",
    "idle_session_timeout": "1s",
    # Transactions and plans.
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "row_security": "off",
    "check_function_bodies": "off",
    "exit_on_error": "on",
    "plan_cache_mode": "force_generic_plan",
    "enable_indexscan": "off",
    "enable_hashjoin": "off",
    "jit": "on",
    "jit_above_cost": "0",
    "client_min_messages": "debug1",
    "min_parallel_table_scan_size": "0",
    "join_collapse_limit": "1",
    "from_collapse_limit": "1",
    "work_mem": "64kB",
    # What PL/pgSQL makes of a function's text.
    "plpgsql.variable_conflict": "use_variable",
    "plpgsql.extra_errors": "all",
    "plpgsql.extra_warnings": "all",
    "search_path": "",
}
"""Left out: default_transaction_read_only, which the library honours, and what a test is itself about."""

OF_TESTS = {
    name: value
    for name, value in ODD.items()
    # What the tests' own sessions rely on, which are the application's: unqualified names, plans by the index, rows that a
    # policy hides without an error, and memory, by which a scan that goes on ends (hnsw.scan_mem_multiplier).
    if name
    not in (
        "search_path",
        "enable_indexscan",
        "enable_hashjoin",
        "plan_cache_mode",
        "row_security",
        "work_mem",
    )
    # Tests wait, and hold transactions open, for longer than an application would.
    and not name.endswith("_timeout")
} | {"statement_timeout": "60s", "lock_timeout": "30s", "idle_session_timeout": "30s"}
"""The same for databases of other tests."""

OF_APPLICATIONS = {
    name: value
    for name, value in OF_TESTS.items()
    # These break psycopg, SQLAlchemy's reflection and Django's migrations by themselves.
    if name
    not in (
        "DateStyle",
        "quote_all_identifiers",
        "exit_on_error",
        "array_nulls",
        "default_transaction_isolation",
    )
}
"""The same for tests whose sessions are those of an application: of Django, Flask, SQLAlchemy and Alembic."""

KINDS = {"odd": OF_TESTS, "odd applications": OF_APPLICATIONS}
"""By the value of IMGVEC_TEST_SETTINGS."""


def set_odd(connection: psycopg.Connection, settings: dict[str, str], *, database: str | None = None) -> None:
    """Give a database, that of the connection unless it is named, these defaults, as far as this server knows them."""
    known = {row[0] for row in connection.execute("SELECT name FROM pg_settings")}
    for name, value in settings.items():
        # A language's settings are known once it is loaded.
        if name in known or "." in name:
            statement = sql.SQL("ALTER DATABASE {} SET {} = {}")
            changed = sql.Identifier(database or connection.info.dbname)
            connection.execute(statement.format(changed, sql.Identifier(name), sql.Literal(value)))
