-- Take requests of a model that somebody still waits for and no other worker answers; first come, first served.
-- A worker that dies with them leaves them to others a second later.
UPDATE imgvec.embedding_request AS r
SET claimed_until = clock_timestamp() + interval '1 s'
WHERE r.id IN (
    SELECT waiting.id FROM imgvec.embedding_request AS waiting
    WHERE waiting.model_id = %(model_id)s AND waiting.answered_at IS NULL AND waiting.expires_at > clock_timestamp()
      AND (waiting.claimed_until IS NULL OR waiting.claimed_until < clock_timestamp())
    ORDER BY waiting.expires_at
    LIMIT %(at_most)s
    FOR UPDATE SKIP LOCKED)
RETURNING r.id, r.text, r.image,
    coalesce((SELECT max(c.rendering) FROM imgvec.collection AS c WHERE c.model_id = r.model_id), 1) AS rendering;
