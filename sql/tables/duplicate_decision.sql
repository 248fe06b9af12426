-- What people decided about two pictures: by the hashes of their bytes, the lower first, so that a decision outlives rows, keys, vectors
-- and models. Of two rows with the same bytes both hashes are that of the picture. `imgvec duplicates` asks about no decided pair again.
CREATE TABLE imgvec.duplicate_decision (
    content_hash bytea NOT NULL,
    other_content_hash bytea NOT NULL,
    decision text NOT NULL,
    decided_by text NOT NULL DEFAULT SESSION_USER,
    decided_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (content_hash, other_content_hash),
    CONSTRAINT duplicate_decision_is_ordered CHECK (content_hash <= other_content_hash),
    CONSTRAINT duplicate_decision_is_known CHECK (decision IN ('same', 'not_the_same', 'keep_both', 'ignore'))
);
CREATE INDEX duplicate_decision_other ON imgvec.duplicate_decision (other_content_hash);
