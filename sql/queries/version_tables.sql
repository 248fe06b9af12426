-- Version tables of Alembic that this role may read, other than the library's own.
SELECT c.oid::regclass::text
FROM pg_class AS c
WHERE c.relname = 'alembic_version' AND c.relkind = 'r' AND c.relnamespace <> coalesce(to_regnamespace('imgvec'), 0)
  AND has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.relnamespace, 'USAGE')
ORDER BY 1;
