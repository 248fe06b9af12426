-- The rows nearest by the HNSW index, for nearest.sql to choose from: no more are visited than are asked for.
(SELECT c.* FROM {near_call} AS c ORDER BY c.distance LIMIT %(candidates)s)
