-- Rows that could not be embedded, and why. version is that of the change that failed: an older result
-- that arrives late is not written over it.
CREATE TABLE imgvec.failure (
    collection_id integer NOT NULL,
    key jsonb NOT NULL,
    version bigint NOT NULL,
    code text NOT NULL,
    message text NOT NULL,
    attempts smallint NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    retry_at timestamptz,
    CONSTRAINT failure_pkey PRIMARY KEY (collection_id, key)
);
