-- Cache of embedded texts, one row for each model and text; rows of norm 1 as in the embedding tables. note says that the model
-- read only the beginning of the text.
CREATE TABLE imgvec.text_embedding (
    model_id integer NOT NULL,
    text text NOT NULL,
    embedding {vector}.halfvec NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now(),
    note text,
    CONSTRAINT text_embedding_pkey PRIMARY KEY (model_id, text),
    CONSTRAINT text_embedding_model_id_fkey FOREIGN KEY (model_id) REFERENCES imgvec.model (id) ON DELETE CASCADE,
    -- A B-tree entry holds 2,704 bytes; no text tower reads more than a few hundred characters.
    CONSTRAINT text_embedding_text_is_short CHECK (octet_length(text) <= 2000),
    CONSTRAINT text_embedding_is_unit CHECK ({vector}.l2_norm(embedding) BETWEEN 0.999 AND 1.001)
);
