-- Places and clusters of landmarks, under their keys as JSON objects.
SELECT {p_key}::text, p.x, p.y, p.cluster FROM imgvec.{map_point_table} AS p WHERE p.is_landmark
