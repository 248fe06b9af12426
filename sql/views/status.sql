-- One row a collection: how far it is and who works on it. Rows are counted exactly, the embeddings too.
-- waiting: rows in the queue, of which ready may be taken now, leased are in a worker's hands and delayed wait for a later
-- try. oldest_ready_seconds: how long the one that has waited longest could have been taken. failed: rows that need
-- somebody; a row whose picture is NULL is none. workers: those seen in the last minute, images_per_second theirs
-- together, time_left what that makes of waiting. is_listed: whether a first fill has enqueued all rows of the source.
-- unseen, since revision 0003: why a trigger could not file a change, the newest such note; null for none.
-- blank, since revision 0004: rows whose picture is one single colour, embedded all the same (imgvec.noted_pictures).
-- A role that may not see all rows of the source gets null for their numbers.
CREATE OR REPLACE VIEW imgvec.status WITH (security_barrier) AS
SELECT c.name AS collection, coalesce(r.source_name, '(dropped)') AS source, m.name AS model,
       CASE WHEN visible.rows = 'all' THEN imgvec.embedding_rows(c.name) END AS embedded,
       q.waiting, q.ready, q.leased, q.delayed, q.oldest_ready_seconds, f.failed,
       w.workers, w.images_per_second,
       CASE WHEN w.images_per_second > 0
            THEN pg_catalog.make_interval(secs => pg_catalog.round(q.waiting / w.images_per_second)) END AS time_left,
       w.last_seen, imgvec.index_state(c.name) AS index, c.listed_at IS NOT NULL AS is_listed{unseen}{blank}
FROM imgvec.collection AS c
JOIN imgvec.model AS m ON m.id = c.model_id
LEFT JOIN LATERAL (
    SELECT quote_ident(n.nspname) || '.' || quote_ident(k.relname) AS source_name
    FROM pg_catalog.pg_class AS k JOIN pg_catalog.pg_namespace AS n ON n.oid = k.relnamespace WHERE k.oid = c.source
) AS r ON true
CROSS JOIN LATERAL (SELECT imgvec.rows_visible(c.id) AS rows OFFSET 0) AS visible
LEFT JOIN LATERAL (
    SELECT coalesce(sum(jsonb_array_length(j.keys)), 0)::bigint AS waiting,
           coalesce(sum(jsonb_array_length(j.keys)) FILTER (
               WHERE j.run_after <= now() AND (j.lease_until IS NULL OR j.lease_until <= now())), 0)::bigint AS ready,
           coalesce(sum(jsonb_array_length(j.keys)) FILTER (WHERE j.lease_until > now()), 0)::bigint AS leased,
           coalesce(sum(jsonb_array_length(j.keys)) FILTER (WHERE j.run_after > now()), 0)::bigint AS delayed,
           extract(epoch FROM now() - min(j.run_after) FILTER (
               WHERE j.run_after <= now() AND (j.lease_until IS NULL OR j.lease_until <= now())))::double precision
               AS oldest_ready_seconds
    FROM imgvec.job AS j WHERE j.collection_id = c.id
) AS q ON visible.rows = 'all'
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE x.code NOT IN ('no_image', 'blank', 'noted')) AS failed,
           count(*) FILTER (WHERE x.code = 'blank') AS blank
    FROM imgvec.failure AS x WHERE x.collection_id = c.id
) AS f ON visible.rows = 'all'
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE x.seen_at > now() - interval '1 minute') AS workers,
           coalesce(sum(x.images_per_second) FILTER (WHERE x.seen_at > now() - interval '1 minute'), 0)::real
               AS images_per_second,
           max(x.seen_at) AS last_seen
    FROM imgvec.worker AS x WHERE x.collection_id = c.id
) AS w;
COMMENT ON VIEW imgvec.status IS 'How far each collection is, and who works on it';
