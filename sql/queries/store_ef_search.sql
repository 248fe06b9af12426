-- What searches of a collection set hnsw.ef_search to; null for the session's own.
UPDATE imgvec.collection SET ef_search = %(value)s WHERE id = %(collection_id)s;
