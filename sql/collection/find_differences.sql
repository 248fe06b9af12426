-- What is wrong with one page of source rows: the last key looked at (null at the end), the rows looked at, and for each kind
-- of difference met the number of rows and up to %(examples)s keys: missing, changed, changed_bytes, changed_failure.
WITH {differences}, found AS (
    SELECT 'missing' AS kind, m.key FROM missing AS m
    UNION ALL SELECT CASE WHEN c.imgvec_is_moved THEN 'changed' ELSE 'changed_bytes' END, c.imgvec_key FROM changed AS c
    UNION ALL SELECT 'changed_failure', t.key FROM tried_again AS t WHERE t.is_moved
), numbered AS (
    SELECT f.kind, f.key, row_number() OVER (PARTITION BY f.kind) AS place FROM found AS f
)
SELECT (SELECT p.imgvec_key FROM page AS p ORDER BY {p_keys_descending} LIMIT 1) AS last_key,
       (SELECT count(*) FROM page) AS looked_at,
       coalesce((
           SELECT jsonb_agg(pg_catalog.jsonb_build_array(k.kind, k.row_count, k.keys))
           FROM (SELECT n.kind, count(*) AS row_count, jsonb_agg(n.key) FILTER (WHERE n.place <= %(examples)s) AS keys
                 FROM numbered AS n GROUP BY n.kind) AS k), '[]') AS found;
