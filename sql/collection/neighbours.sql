-- The rows nearest to one row, itself among them, as search_* finds them.
SELECT {n_key} AS key, n.distance
FROM imgvec.{search}(imgvec.embedding_of({collection_name}, %(key)s::text), %(k)s) AS n
ORDER BY n.distance;
