-- Rows that could not be embedded, and why. version is that of the change that failed: an older result
-- that arrives late is not written over it. reference_hash is that of the row as the worker read it, null where unknown:
-- reconcile files the row again once it refers to another picture.
-- Three codes are notes about rows that did not fail: no_image, of one whose picture was taken away, which keeps an older result out;
-- blank, of one that is embedded, whose picture is one single colour; and noted, of one that is embedded, whose file is odd. A note
-- goes with the row, and with its next picture.
CREATE TABLE imgvec.failure (
    collection_id integer NOT NULL,
    key jsonb NOT NULL,
    version bigint NOT NULL,
    code text NOT NULL,
    message text NOT NULL,
    attempts smallint NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    reference_hash bytea,
    CONSTRAINT failure_pkey PRIMARY KEY (collection_id, key)
);
