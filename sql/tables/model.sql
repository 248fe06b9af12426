-- Models that collections are embedded by. The first worker that loads the model's weights stamps the
-- fingerprint, and the weights' SHA-256; a worker with other weights or preprocessing then refuses to write. images_per_second is the last
-- worker's mean, for estimates.
CREATE TABLE imgvec.model (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    dimensions integer NOT NULL,
    has_text boolean NOT NULL,
    fingerprint text,
    weights_sha256 text,
    logit_scale double precision,
    logit_bias double precision,
    images_per_second real,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT model_name_key UNIQUE (name),
    -- pgvector src/hnsw.h: HNSW_MAX_DIM 2000 floats, twice that in halfvec.
    CONSTRAINT model_dimensions_fit_hnsw CHECK (dimensions BETWEEN 1 AND 4000)
);
