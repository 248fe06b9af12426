-- Texts and pictures that somebody waits for, to be embedded by a running worker. A request that holds neither asks
-- only whether a worker answers. text has the collection's prompt in it already. claimed_until: how long other workers
-- leave it to the one that took it. The answer is embedding, or error, or neither; whoever asked deletes the row, and
-- enqueue_request() deletes those left behind. Unlogged: nobody waits any more after a crash.
CREATE UNLOGGED TABLE imgvec.embedding_request (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    model_id integer NOT NULL,
    text text,
    image bytea,
    expires_at timestamptz NOT NULL,
    claimed_until timestamptz,
    answered_at timestamptz,
    -- As text: the session that fetches it need not load pgvector.
    embedding text,
    error text,
    CONSTRAINT embedding_request_holds_one CHECK (num_nonnulls(text, image) <= 1),
    CONSTRAINT embedding_request_text_is_short CHECK (octet_length(text) <= 2000),
    CONSTRAINT embedding_request_image_is_small CHECK (octet_length(image) <= 33554432)
) WITH (
    -- All churn, as imgvec.job.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500
);
