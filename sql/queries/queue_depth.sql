-- Keys waiting, keys leased now, keys delayed, and seconds until the next delayed job is due (null when none).
SELECT coalesce(sum(jsonb_array_length(keys)), 0)::bigint AS waiting,
       coalesce(sum(jsonb_array_length(keys)) FILTER (WHERE lease_until > now()), 0)::bigint AS leased,
       coalesce(sum(jsonb_array_length(keys)) FILTER (WHERE run_after > now()), 0)::bigint AS delayed,
       extract(epoch FROM min(run_after) FILTER (WHERE run_after > now()) - now())::double precision AS next_ready_seconds
FROM imgvec.job WHERE collection_id = %(collection_id)s;
