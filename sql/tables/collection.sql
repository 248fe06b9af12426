-- One image source embedded by one model. The embedding table is imgvec.<name>_embedding.
-- The name is short because functions and indexes are named after it within PostgreSQL's 63 bytes.
-- key_columns and key_types describe the source's primary key, in its order; key_equality_schemas tell where the
-- = operator of each type lives.
-- watch_columns: a change in any of them means a new image; the image columns are always among them.
-- root: the folder that paths are below. url_prefixes: how URLs in the path column may begin, none by default.
-- ef_search: what searches set, null for the session's own. quantization: 'bit' for a binary HNSW whose finds are
-- ranked again by the full vectors, null for HNSW over the vectors themselves. prompt: what a text becomes before it is
-- embedded, {{}} standing for the text.
-- listing_after is the last key enqueued by the first fill, null before it and after; listed_at is set when all are enqueued.
CREATE TABLE imgvec.collection (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    model_id integer NOT NULL,
    source regclass NOT NULL,
    key_columns text[] NOT NULL,
    key_types text[] NOT NULL,
    key_equality_schemas text[] NOT NULL,
    path_column text,
    content_column text,
    watch_columns text[] NOT NULL,
    root text,
    url_prefixes text[] NOT NULL DEFAULT '{{}}',
    has_foreign_key boolean NOT NULL,
    m smallint NOT NULL DEFAULT 16,
    ef_construction smallint NOT NULL DEFAULT 64,
    ef_search smallint,
    quantization text,
    prompt text NOT NULL DEFAULT '{{}}',
    listing_after jsonb,
    listed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT collection_name_key UNIQUE (name),
    CONSTRAINT collection_model_id_fkey FOREIGN KEY (model_id) REFERENCES imgvec.model (id),
    CONSTRAINT collection_name_is_plain CHECK (name ~ '^[a-z_][a-z0-9_]{{0,39}}$'),
    CONSTRAINT collection_has_image_column CHECK (num_nonnulls(path_column, content_column) > 0),
    -- pgvector src/hnsw.h: HNSW_MIN_M, HNSW_MAX_M, HNSW_MAX_EF_CONSTRUCTION; ef_construction must reach 2 * m.
    CONSTRAINT collection_hnsw_range CHECK (m BETWEEN 2 AND 100 AND ef_construction BETWEEN 2 * m AND 1000),
    -- pgvector src/hnsw.h: HNSW_MIN_EF_SEARCH, HNSW_MAX_EF_SEARCH.
    CONSTRAINT collection_ef_search_range CHECK (ef_search BETWEEN 1 AND 1000),
    CONSTRAINT collection_quantization_is_known CHECK (quantization IN ('bit')),
    CONSTRAINT collection_prompt_holds_text CHECK (prompt LIKE '%{{}}%' AND octet_length(prompt) <= 500)
);
