-- Schema, name, both as SQL writes them, kind, whether it hides rows from some, estimated rows of a relation, and whose rights
-- this role reads it with: null for its own.
SELECT n.nspname, c.relname, pg_catalog.format('%%I.%%I', n.nspname, c.relname), c.relkind::text, imgvec.source_hides_rows(c.oid), greatest(c.reltuples, 0),
       {reads_as}
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s;
