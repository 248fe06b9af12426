-- One row a collection: rows embedded, waiting, put off, failed, live workers and their rate.
SELECT c.name, m.name AS model, coalesce(c.source::text, '(dropped)') AS source,
       q.waiting, q.put_off, f.failed, w.workers, w.images_per_second, c.listed_at IS NOT NULL AS is_listed, c.id
FROM imgvec.collection AS c
JOIN imgvec.model AS m ON m.id = c.model_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(jsonb_array_length(j.keys)), 0)::bigint AS waiting,
           coalesce(sum(jsonb_array_length(j.keys)) FILTER (WHERE j.run_after > now()), 0)::bigint AS put_off
    FROM imgvec.job AS j WHERE j.collection_id = c.id
) AS q
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE x.code <> 'no_image') AS failed FROM imgvec.failure AS x WHERE x.collection_id = c.id
) AS f
CROSS JOIN LATERAL (
    SELECT count(*) AS workers, coalesce(sum(x.images_per_second), 0)::real AS images_per_second
    FROM imgvec.worker AS x WHERE x.collection_id = c.id AND x.seen_at > now() - interval '1 minute'
) AS w
WHERE %(name)s::text IS NULL OR c.name = %(name)s
ORDER BY c.name;
