-- The rows nearest to words, as search_* finds them; the vector of the words comes from the cache or a running worker.
SELECT {n_key} AS key, n.distance
FROM imgvec.{search}(imgvec.embed_text({collection_name}, %(words)s), %(k)s) AS n
ORDER BY n.distance;
