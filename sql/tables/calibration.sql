-- How far apart random pairs of a collection are (`imgvec calibrate`), so that a threshold means the same with each
-- model. pairs_of: 'rows' for two rows, 'words' for a cached text and a row, which lie further apart. distances[i] is the
-- cosine distance that percentiles[i] per cent of the sampled pairs do not exceed.
CREATE TABLE imgvec.calibration (
    collection_id integer NOT NULL,
    pairs_of text NOT NULL,
    percentiles double precision[] NOT NULL,
    distances double precision[] NOT NULL,
    pair_count bigint NOT NULL,
    sampled_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT calibration_pkey PRIMARY KEY (collection_id, pairs_of),
    CONSTRAINT calibration_collection_id_fkey
        FOREIGN KEY (collection_id) REFERENCES imgvec.collection (id) ON DELETE CASCADE,
    CONSTRAINT calibration_pairs_of_is_known CHECK (pairs_of IN ('rows', 'words')),
    CONSTRAINT calibration_is_a_curve
        CHECK (cardinality(distances) = cardinality(percentiles) AND cardinality(distances) >= 2)
);
