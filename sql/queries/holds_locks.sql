-- Whether this session's transaction holds a lock on a relation of the schema imgvec, where another session's migration would wait for it.
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
    WHERE l.pid = pg_catalog.pg_backend_pid() AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
      AND c.relnamespace = 'imgvec'::regnamespace::oid AND c.relkind <> 'i' AND c.relname <> 'alembic_version');
