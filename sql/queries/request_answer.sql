-- The answer to a request, once there is one: the vector as text, or why there is none; and what is to be said of it.
SELECT r.embedding, r.error, r.note FROM imgvec.embedding_request AS r WHERE r.id = %(id)s AND r.answered_at IS NOT NULL;
