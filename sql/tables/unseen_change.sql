-- Changes of a source that a trigger could not file, with PostgreSQL's reason: a column was renamed, became of another type, or
-- something of imgvec's own is gone. One row a collection suffices, several may come of statements that ran at once; none
-- waits for another. `imgvec collection reconcile` deletes them once it has found what they missed.
CREATE TABLE imgvec.unseen_change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collection_id integer NOT NULL,
    relation regclass NOT NULL,
    message text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now()
);
