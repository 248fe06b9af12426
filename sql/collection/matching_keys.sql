-- The keys, as JSON objects, of embedded rows whose source matches a condition: all, or %(most)s of them drawn at random.
SELECT {s_key}
FROM (SELECT * FROM {source} WHERE {condition}) AS s
WHERE EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {e_equals_s})
ORDER BY random()
LIMIT %(most)s;
