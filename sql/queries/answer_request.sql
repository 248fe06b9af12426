-- Answer a request, and keep the vector of its text in the cache, if the model on record is the one that made it: one
-- statement, so that whoever waits finds both or neither. A request that is gone was given up.
WITH cached AS (
    INSERT INTO imgvec.text_embedding AS t (model_id, text, embedding, note)
    SELECT m.id, %(text)s::text, %(embedding)s::{vector}.halfvec, %(note)s::text
    FROM imgvec.model AS m
    WHERE m.id = %(model_id)s AND m.fingerprint = %(fingerprint)s
      AND %(text)s::text IS NOT NULL AND %(embedding)s::text IS NOT NULL
    ON CONFLICT (model_id, text) DO UPDATE SET used_at = excluded.used_at
)
UPDATE imgvec.embedding_request
SET answered_at = clock_timestamp(), embedding = %(embedding)s, error = %(error)s, note = %(note)s, image = NULL
WHERE id = %(id)s;
