-- Whose rights a superuser reads these collections' tables, or one relation, with, as views of somebody else are read: where planning alone
-- would run what their owner has written.
SELECT k.id, o.rolname::text
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_roles AS o ON o.oid = c.relowner AND NOT o.rolsuper AND o.rolname <> current_user
LEFT JOIN imgvec.collection AS k ON k.source::oid = c.oid AND k.id = ANY (%(ids)s::integer[])
WHERE c.relkind IN ('r', 'p') AND (k.id IS NOT NULL OR c.oid = %(oid)s::oid)
  AND (SELECT me.rolsuper FROM pg_catalog.pg_roles AS me WHERE me.rolname = current_user)
  AND {runs_when_planned};
