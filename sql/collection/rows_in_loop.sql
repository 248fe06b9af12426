-- Rows whose point on the map lies within a polygon, that this role sees, by their keys: columns as JSON values.
SELECT {s_key}{shown}
FROM imgvec.{map_point_table} AS p JOIN {source} AS s ON {p_equals_s}
WHERE %(loop)s::polygon @> point(p.x, p.y)
ORDER BY {p_keys} LIMIT %(limit)s
