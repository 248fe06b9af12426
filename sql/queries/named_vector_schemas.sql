-- The schemas, other than %(schema)s, that functions %(names)s of the schema imgvec take the extension vector to be in: what
-- stands before its types and its operator of distance.
SELECT DISTINCT s.name
FROM pg_catalog.pg_proc AS p
CROSS JOIN LATERAL regexp_matches(
    p.prosrc, '("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)\.(?:(?:halfvec|vector)\y|<=>\))', 'g') AS m (found)
CROSS JOIN LATERAL (SELECT replace(trim(BOTH '"' FROM m.found[1]), '""', '"') AS name) AS s
WHERE p.pronamespace = 'imgvec'::regnamespace AND p.proname = ANY (%(names)s) AND s.name <> %(schema)s
ORDER BY 1;
