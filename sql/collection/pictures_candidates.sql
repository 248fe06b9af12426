-- The rows nearest by the HNSW index with their pictures, for nearest_pictures.sql to choose from.
(SELECT n.*, e.content_hash AS imgvec_picture
 FROM (SELECT c.* FROM {near_call} AS c ORDER BY c.distance LIMIT %(candidates)s) AS n
 JOIN imgvec.{embedding_table} AS e ON {e_equals_n}
 WHERE {e_is_other})
