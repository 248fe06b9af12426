-- Points that this role sees, and those of them that were placed after the run; embedded rows that it sees.
SELECT count(*), count(*) FILTER (WHERE p.is_later), (SELECT count(*) FROM imgvec.{embedding_table})
FROM imgvec.{map_point_table} AS p
