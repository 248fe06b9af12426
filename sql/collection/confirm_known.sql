-- Places (from 1) of the vectors given that the rows with the keys given still have, for pictures with these hashes. Under
-- lock_collection_shared.sql at least, so that nobody takes back meanwhile what he said of them (enqueue_doubtful.sql).
SELECT w.imgvec_place
FROM ROWS FROM (
    jsonb_to_recordset(%(keys)s::jsonb) AS ({key_definitions}),
    unnest(%(hashes)b::bytea[]),
    unnest(%(embeddings)b::{vector}.halfvec[])
) WITH ORDINALITY AS w({keys}, imgvec_hash, imgvec_embedding, imgvec_place)
JOIN imgvec.{embedding_table} AS e ON {w_equals_e}
WHERE e.content_hash = w.imgvec_hash AND e.embedding OPERATOR({vector}.=) w.imgvec_embedding AND
{is_donor};
