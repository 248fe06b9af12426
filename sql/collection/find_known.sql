-- Of pictures with the hashes given: place among them (from 1), the key of a row that has its vector, the vector, and what was
-- noted of it. Pictures that no row has are absent.
-- Of each at most so many rows are looked at: all others may be of another precision, or of an older rendering, or a table's only picture.
SELECT w.imgvec_place, d.key, d.embedding, d.code, d.message
FROM unnest(%(hashes)b::bytea[]) WITH ORDINALITY AS w(imgvec_hash, imgvec_place)
CROSS JOIN LATERAL (
    SELECT {e_key} AS key, e.embedding, f.code, f.message
    FROM (SELECT c.* FROM imgvec.{embedding_table} AS c WHERE c.content_hash = w.imgvec_hash LIMIT %(most)s) AS e
    LEFT JOIN imgvec.failure AS f ON f.collection_id = {collection_id} AND f.key = {e_key} AND f.code IN ('blank', 'noted')
    WHERE {is_donor}
    LIMIT 1
) AS d;
