-- Whose rights a superuser reads the relation {row} of pg_class with, where they are another's: of a view, since what it calls is its owner's,
-- and of a table where planning alone would run what its owner has written. Null for this role's own.
(SELECT o.rolname::text FROM pg_catalog.pg_roles AS o
        WHERE o.oid = {row}.relowner AND NOT o.rolsuper AND o.rolname <> current_user
          AND (SELECT me.rolsuper FROM pg_catalog.pg_roles AS me WHERE me.rolname = current_user)
          AND CASE WHEN {row}.relkind = 'v' THEN true WHEN {row}.relkind IN ('r', 'p') THEN {runs_when_planned} END)
