-- Roles that could run a worker, being this session's or members of imgvec_worker that may log in, and what they lack.
SELECT r.rolname AS role_name, r.rolname = current_user AS is_current,
       has_schema_privilege(r.oid, 'imgvec', 'USAGE') AND has_table_privilege(r.oid, 'imgvec.job', 'UPDATE')
           AND has_table_privilege(r.oid, %(embedding_table)s::oid, 'INSERT') AS may_write,
       has_schema_privilege(r.oid, s.relnamespace, 'USAGE')
           AND NOT EXISTS (SELECT FROM unnest(%(columns)s::text[]) AS column_name
                           WHERE NOT has_column_privilege(r.oid, s.oid, column_name, 'SELECT')) AS may_read,
       r.rolbypassrls OR NOT imgvec.source_hides_rows(s.oid)
           OR (pg_has_role(r.oid, s.relowner, 'USAGE') AND NOT s.relforcerowsecurity) AS sees_all,
       quote_ident(n.nspname) AS schema_name, pg_catalog.format('%%I.%%I', n.nspname, s.relname) AS source_name
FROM pg_roles AS r
JOIN pg_class AS s ON s.oid = %(source)s::oid
JOIN pg_namespace AS n ON n.oid = s.relnamespace
WHERE NOT r.rolsuper
  AND (r.rolname = current_user
       OR (r.rolcanlogin AND to_regrole('imgvec_worker') IS NOT NULL
           AND pg_has_role(r.oid, to_regrole('imgvec_worker'), 'MEMBER')))
ORDER BY r.rolname <> current_user, r.rolname;
