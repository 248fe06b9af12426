-- A row at each of some places of a map, that this role sees: position (from 1), the key as a JSON object, the cluster, the rows there.
SELECT w.position, m.key, m.cluster, m.copies
FROM ROWS FROM (unnest(%(x)s::real[]), unnest(%(y)s::real[])) WITH ORDINALITY AS w(x, y, position)
CROSS JOIN LATERAL (
    SELECT {p_key} AS key, p.cluster, count(*) OVER () AS copies
    FROM imgvec.{map_point_table} AS p WHERE p.x = w.x AND p.y = w.y
    ORDER BY {p_keys} LIMIT 1
) AS m
