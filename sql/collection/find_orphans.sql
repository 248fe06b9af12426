-- Embeddings whose row is gone or has no image any more, and failures whose row is gone; what is queued is left to the
-- worker. Kind, number and up to %(examples)s keys of each.
WITH queued AS MATERIALIZED (
    SELECT jsonb_array_elements(j.keys) AS key FROM imgvec.job AS j WHERE j.collection_id = {collection_id}
), found AS (
    SELECT 'orphan' AS kind, {e_key} AS key FROM imgvec.{embedding_table} AS e
    WHERE NOT EXISTS (SELECT FROM {source} AS s WHERE {e_equals_s} AND CASE WHEN {e_equals_s} THEN {s_has_image} END)
    UNION ALL
    SELECT 'orphan_failure', f.key FROM imgvec.failure AS f
    WHERE f.collection_id = {collection_id}
      AND NOT EXISTS (SELECT FROM jsonb_to_record(f.key) AS k({key_definitions}) JOIN {source} AS s ON {k_equals_s})
), numbered AS (
    SELECT f.kind, f.key, row_number() OVER (PARTITION BY f.kind) AS place FROM found AS f
    WHERE NOT EXISTS (SELECT FROM queued AS q WHERE q.key = f.key)
)
SELECT n.kind, count(*), jsonb_agg(n.key) FILTER (WHERE n.place <= %(examples)s) FROM numbered AS n GROUP BY n.kind;
