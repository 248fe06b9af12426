-- Rows that one collection has a vector of and another, over the same source, has not, and how many of those failed there.
SELECT count(*), count(f.key)
FROM imgvec.{embedding_table} AS e
LEFT JOIN imgvec.failure AS f ON f.collection_id = {other_id} AND f.key = {e_key} AND f.code NOT IN ('blank', 'noted')
WHERE NOT EXISTS (SELECT FROM imgvec.{other_table} AS o WHERE {e_equals_o});
