-- What a model made of a few fixed pictures and texts at its first use; a worker whose numbers differ refuses to write.
-- precision: what the storing process computed in.
CREATE TABLE imgvec.golden_vector (
    model_id integer NOT NULL,
    kind text NOT NULL,
    position smallint NOT NULL,
    embedding real[] NOT NULL,
    precision text NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model_id, kind, position),
    CONSTRAINT golden_vector_model_id_fkey FOREIGN KEY (model_id) REFERENCES imgvec.model (id) ON DELETE CASCADE,
    CONSTRAINT golden_vector_kind_is_known CHECK (kind IN ('image', 'text'))
);
