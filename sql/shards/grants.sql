-- The rights that were given to others on what is made anew for a collection that spans shards: the kind of each object, its name, and the
-- statement that gives the right again.
SELECT o.kind, o.name,
       pg_catalog.format('GRANT %%s ON %%s imgvec.%%I TO %%s%%s', a.privilege_type, o.kind, o.name,
                         CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,
                         CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM (
    SELECT 'FUNCTION' AS kind, p.proname AS name, p.proacl AS rights, p.proowner AS owner
    FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = 'imgvec'::pg_catalog.regnamespace AND p.proname = ANY (%(functions)s)
    UNION ALL
    SELECT 'TABLE', c.relname, c.relacl, c.relowner
    FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = 'imgvec'::pg_catalog.regnamespace AND c.relname = %(table)s
) AS o
CROSS JOIN LATERAL pg_catalog.aclexplode(o.rights) AS a
WHERE a.grantee <> o.owner;
