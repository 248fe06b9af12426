-- A collection's radius index: whether its table is there, bytes with its key's index, whether all four triggers fire, its rows as last counted,
-- and whether the source hides rows from some roles.
SELECT t.coordinates IS NOT NULL, coalesce(pg_total_relation_size(t.coordinates), 0),
       (SELECT count(*) = 4 AND bool_and(g.tgenabled IN ('O', 'A')) FROM pg_catalog.pg_trigger AS g
        WHERE g.tgrelid = t.embeddings AND starts_with(g.tgname, 'imgvec_coordinates_')),
       coalesce((SELECT greatest(c.reltuples, 0)::bigint FROM pg_catalog.pg_class AS c WHERE c.oid = t.coordinates), 0),
       imgvec.source_hides_rows(t.source)
FROM (
    SELECT to_regclass(%(coordinates)s)::oid AS coordinates, to_regclass(%(embeddings)s)::oid AS embeddings,
           (SELECT c.source::oid FROM imgvec.collection AS c WHERE c.id = %(collection_id)s) AS source
) AS t;
