-- Texts and pictures that somebody waits for, to be embedded by a running worker. A request that holds neither asks
-- only whether a worker answers. text has the collection's prompt in it already. claimed_until: how long other workers
-- leave it to the one that took it. The answer is embedding, or error, or neither;
-- note says that the model read only the beginning of a text; whoever asked deletes the row, and
-- enqueue_request_of() deletes those left behind. Unlogged: nobody waits any more after a crash.
CREATE UNLOGGED TABLE imgvec.embedding_request (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- The login role that waits.
    asker text NOT NULL DEFAULT session_user,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    model_id integer NOT NULL,
    text text,
    image bytea,
    expires_at timestamptz NOT NULL,
    claimed_until timestamptz,
    answered_at timestamptz,
    -- As text: the session that fetches it need not load pgvector.
    embedding text,
    error text,
    note text,
    -- The longest imgvec.text_timeout: nothing waits, and counts as waiting, for longer.
    CONSTRAINT embedding_request_expires_soon CHECK (expires_at <= asked_at + interval '10 minutes'),
    CONSTRAINT embedding_request_holds_one CHECK (num_nonnulls(text, image) <= 1),
    CONSTRAINT embedding_request_text_is_short CHECK (octet_length(text) <= 2000),
    CONSTRAINT embedding_request_image_is_small CHECK (octet_length(image) <= 33554432)
) WITH (
    -- All churn, as imgvec.job.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500
);
