-- Slices of a collection's keys waiting to be embedded; keys is an array of JSON objects, {{"id": 7}}.
-- No foreign key to collection: each write of the application would lock the same collection row.
-- version orders the changes of one key: drawn by the source's trigger under the changed row's lock, and
-- inherited by whatever the library files itself (0 for a first fill).
-- attempts counts the tries that came to an end, this one included while it is leased; deaths counts the leases
-- that ran out. After the first death a job is worked alone: only then is a worker's death its own doing.
CREATE SEQUENCE imgvec.version_seq CACHE 1;
CREATE TABLE imgvec.job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collection_id integer NOT NULL,
    version bigint NOT NULL,
    keys jsonb NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    deaths smallint NOT NULL DEFAULT 0,
    token uuid,
    lease_until timestamptz,
    run_after timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT job_keys_is_short_array
        CHECK (jsonb_typeof(keys) = 'array' AND jsonb_array_length(keys) BETWEEN 1 AND 256)
) WITH (
    -- A queue's table is all churn: vacuum by count, not by share of a table that is usually empty.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0, fillfactor = 70,
    -- To give back the end of the file VACUUM would lock everybody out, applications that file keys among them.
    vacuum_truncate = false, toast.vacuum_truncate = false,
    -- Keys of a whole slice take more than a row may.
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 500, toast.autovacuum_vacuum_cost_delay = 0
);
-- Changes go before the first fill, so that a new product is found while a million old ones still wait.
CREATE INDEX job_due ON imgvec.job (collection_id, (version = 0), id);
