-- What rows of a file are here, by the texts of their keys or of another column: place in the batch (from 1), state, hash of what the row says
-- of its picture now, key. States: 0 takes a vector, 1 has one, 2 has no picture, 3 failed at a newer change. A text that is no value of the
-- column's type finds no row. Under lock_collection_shared.sql and read_like_triggers.sql.
SELECT k.place,
       CASE WHEN ({s_has_image}) IS NOT TRUE THEN 2
            WHEN e.version IS NOT NULL THEN 1
            -- Most collections have no failure, and then no row's key is made for looking.
            WHEN (SELECT EXISTS (SELECT FROM imgvec.failure AS f WHERE f.collection_id = {collection_id} AND f.version > 0))
                 AND EXISTS (SELECT FROM imgvec.failure AS f WHERE f.collection_id = {collection_id} AND f.key = {s_key} AND f.version > 0) THEN 3
            ELSE 0 END AS state,
       {s_reference_hash} AS reference_hash, {s_keys}
FROM (
    SELECT t.place, {typed_values} FROM ROWS FROM ({value_lists}) WITH ORDINALITY AS t ({value_names}, place)
) AS k
JOIN {source} AS s ON {k_matches_s}
LEFT JOIN imgvec.{embedding_table} AS e ON {e_equals_s}
ORDER BY {s_keys};
