-- Always false, see enqueueing_is_parsed.sql: what deletes failures and, where no foreign key does, embeddings.
(false AND EXISTS (SELECT FROM imgvec.failure AS f WHERE f.collection_id IS NULL AND f.key = {o_key} AND {embedding_is_parsed}))
