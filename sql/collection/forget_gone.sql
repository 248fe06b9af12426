-- Delete the embeddings of these jobs' keys that have no row in the source: a worker wrote them while the row was being deleted,
-- and no foreign key kept them out. Under the exclusive lock of lock_collection_exclusive.sql, so that all writes of what was read
-- before are there.
DELETE FROM imgvec.{embedding_table} AS e
USING ROWS FROM (unnest(%(ids)s::bigint[]), unnest(%(tokens)s::uuid[])) AS d(id, token)
JOIN imgvec.job AS j ON j.id = d.id AND j.token = d.token
CROSS JOIN LATERAL jsonb_array_elements(j.keys) AS k(key) CROSS JOIN LATERAL jsonb_to_record(k.key) AS r({key_definitions})
WHERE j.id = ANY (%(ids)s::bigint[]) AND {e_equals_r} AND e.version <= j.version
  AND NOT EXISTS (SELECT FROM {source} AS s WHERE {r_equals_s});
