-- Of an embedded row, e: whether the map has no point for the vector that it has now.
NOT EXISTS (SELECT FROM imgvec.{map_point_table} AS p WHERE {e_equals_p} AND p.version = e.version AND p.embedded_at = e.embedded_at)
