-- Points of a map that this role sees, in no order: x, y, cluster, and a number to colour it by (NaN for none).
COPY (SELECT p.x, p.y, p.cluster, ({value})::double precision FROM imgvec.{map_point_table} AS p {joined}) TO STDOUT (FORMAT binary)
