-- Bodies of a collection's trigger functions, and whether this role may replace them.
SELECT p.proname::text, p.prosrc, pg_catalog.pg_has_role(p.proowner, 'USAGE')
FROM pg_catalog.pg_proc AS p
WHERE p.pronamespace = 'imgvec'::regnamespace::oid AND p.proname = ANY (%(names)s::text[]);
