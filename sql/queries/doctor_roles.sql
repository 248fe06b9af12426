-- Whether the two roles exist and have the rights that a fresh schema gives them.
SELECT r.role_name, to_regrole(r.role_name) IS NOT NULL AS is_there,
       coalesce(has_schema_privilege(to_regrole(r.role_name), 'imgvec', 'USAGE')
                AND has_table_privilege(to_regrole(r.role_name), r.table_name, r.privilege), false) AS has_rights
FROM (VALUES ('imgvec_reader', 'imgvec.collection', 'SELECT'), ('imgvec_worker', 'imgvec.job', 'INSERT'))
    AS r(role_name, table_name, privilege);
