-- Whether this role is a superuser, and somebody who is none has made functions, operators, domains or views in this database.
SELECT coalesce((SELECT me.rolsuper FROM pg_catalog.pg_roles AS me WHERE me.rolname = current_user), false)
   AND EXISTS (
    SELECT FROM pg_catalog.pg_roles AS r WHERE NOT r.rolsuper AND (
        EXISTS (SELECT FROM pg_catalog.pg_proc AS p WHERE p.proowner = r.oid)
        OR EXISTS (SELECT FROM pg_catalog.pg_operator AS o WHERE o.oprowner = r.oid)
        OR EXISTS (SELECT FROM pg_catalog.pg_type AS t WHERE t.typowner = r.oid AND t.typtype = 'd')
        OR EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.relowner = r.oid AND c.relkind = 'v')));
