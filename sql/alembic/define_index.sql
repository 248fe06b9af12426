-- What the registry says of the index of a collection, where the table is a collection's. An ef_search that was tuned for
-- another index is forgotten.
UPDATE imgvec.collection AS c
SET m = {m}, ef_construction = {ef_construction}, index_method = 'hnsw', lists = NULL, probes = NULL,
    ef_search = CASE WHEN (c.m, c.ef_construction) = ({m}, {ef_construction}) THEN c.ef_search END
WHERE c.name = {collection};
