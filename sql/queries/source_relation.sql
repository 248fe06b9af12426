-- Schema, name, both as SQL writes them, kind, whether it hides rows from some, estimated rows of a relation, and whose rights
-- this role reads it with: null for its own (see collections.sql).
SELECT n.nspname, c.relname, pg_catalog.format('%%I.%%I', n.nspname, c.relname), c.relkind::text, imgvec.source_hides_rows(c.oid), greatest(c.reltuples, 0),
       (SELECT o.rolname::text FROM pg_roles AS o
        WHERE o.oid = c.relowner AND c.relkind = 'v' AND NOT o.rolsuper AND o.rolname <> current_user
          AND (SELECT me.rolsuper FROM pg_roles AS me WHERE me.rolname = current_user))
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s;
