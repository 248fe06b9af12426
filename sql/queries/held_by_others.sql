-- Keys of the first fill that others hold, not under one of %(tokens)s, and seconds until the last of those leases runs out.
SELECT coalesce(sum(jsonb_array_length(j.keys)), 0)::bigint AS keys,
       extract(epoch FROM max(j.lease_until) - now())::double precision AS seconds
FROM imgvec.job AS j
WHERE j.collection_id = %(collection_id)s AND j.version = 0 AND j.lease_until > now() AND NOT j.token = ANY (%(tokens)s::uuid[]);
