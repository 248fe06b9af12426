-- Forget requests that were left behind.
DELETE FROM imgvec.embedding_request AS r WHERE r.expires_at < clock_timestamp() - interval '10 s';
