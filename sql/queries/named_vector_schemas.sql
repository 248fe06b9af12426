-- The schemas, other than %(schema)s, that functions %(names)s of the schema imgvec take the extension vector to be in: what
-- stands before its types and its operator of distance.
SELECT DISTINCT s.name
FROM pg_catalog.pg_proc AS p
CROSS JOIN LATERAL pg_catalog.regexp_matches(
    p.prosrc, '("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)\.(?:(?:halfvec|vector)\y|<=>\))'::text, 'g'::text) AS m (found)
CROSS JOIN LATERAL (
    SELECT pg_catalog.replace(pg_catalog.btrim(m.found[1], '"'::text), '""'::text, '"'::text) AS name
) AS s
WHERE p.pronamespace = 'imgvec'::pg_catalog.regnamespace::oid AND p.proname::text = ANY (%(names)s::text[])
  AND s.name <> %(schema)s::text
ORDER BY 1;
