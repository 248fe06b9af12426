-- Delete jobs, none that is leased, of which no key has a row any more. Returns the keys that they held.
WITH idle AS MATERIALIZED (
    SELECT j.id FROM imgvec.job AS j
    WHERE j.collection_id = {collection_id} AND (j.lease_until IS NULL OR j.lease_until <= now())
      AND NOT EXISTS (
          SELECT FROM jsonb_array_elements(j.keys) AS k(key)
          CROSS JOIN LATERAL jsonb_to_record(k.key) AS r({key_definitions}) JOIN {source} AS s ON {r_equals_s}
      )
    FOR UPDATE SKIP LOCKED
), dropped AS (
    DELETE FROM imgvec.job AS j USING idle AS i WHERE j.id = i.id RETURNING jsonb_array_length(j.keys) AS key_count
)
SELECT coalesce(sum(key_count), 0)::bigint FROM dropped;
