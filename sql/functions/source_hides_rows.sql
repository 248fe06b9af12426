-- imgvec.source_hides_rows(source): whether what a source shows depends on who asks: a table with row-level security, or a
-- view that reads one or that names the role or a setting of the session, itself or through views beneath it. STABLE.
CREATE FUNCTION imgvec.source_hides_rows(source oid) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE beneath (relation) AS (
        SELECT $1
        UNION
        SELECT d.refobjid
        FROM beneath AS b
        JOIN pg_catalog.pg_class AS v ON v.oid = b.relation AND v.relkind = 'v'
        JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = v.oid
        JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
            AND d.refclassid = 'pg_catalog.pg_class'::regclass
    )
    SELECT coalesce(bool_or(
        c.relrowsecurity
        OR (c.relkind = 'v' AND pg_get_viewdef(c.oid) ~* '(^|[^a-z0-9_])(current_user|session_user|current_role|user|current_setting|pg_has_role)($|[^a-z0-9_])')
    ), false)
    FROM beneath AS b JOIN pg_catalog.pg_class AS c ON c.oid = b.relation;
END;
REVOKE ALL ON FUNCTION imgvec.source_hides_rows(oid) FROM PUBLIC;
