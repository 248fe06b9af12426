-- Of an embedded row, e: whether it is a landmark of the map that still has the vector it was placed by.
EXISTS (SELECT FROM imgvec.{map_point_table} AS p WHERE p.is_landmark AND {e_equals_p} AND p.version = e.version AND p.embedded_at = e.embedded_at)
