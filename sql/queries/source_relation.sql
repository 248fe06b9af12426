-- Schema, name, both as SQL writes them, kind, row security and estimated rows of a relation.
SELECT n.nspname, c.relname, pg_catalog.format('%%I.%%I', n.nspname, c.relname), c.relkind::text, c.relrowsecurity, greatest(c.reltuples, 0)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s;
