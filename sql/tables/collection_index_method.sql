-- index_method: the access method that a collection's index is built with. lists: of an IVFFlat index, null for as many as suit
-- the rows at each build. probes: how many of them searches read, null for the root of the lists.
-- pgvector src/ivfflat.h: IVFFLAT_MAX_LISTS.
ALTER TABLE imgvec.collection
    ADD COLUMN index_method text NOT NULL DEFAULT 'hnsw',
    ADD COLUMN lists integer,
    ADD COLUMN probes integer,
    ADD CONSTRAINT collection_index_method_is_known CHECK (index_method IN ('hnsw', 'ivfflat')),
    ADD CONSTRAINT collection_lists_range CHECK (lists BETWEEN 1 AND 32768),
    ADD CONSTRAINT collection_probes_range CHECK (probes BETWEEN 1 AND 32768);
