-- Take finished jobs off the queue, each leased under a token of its own, and return their ids, tokens and numbers of keys. One that does
-- not come back was leased to another worker meanwhile: its result must be dropped.
DELETE FROM imgvec.job AS j
USING ROWS FROM (unnest(%(ids)s::bigint[]), unnest(%(tokens)s::uuid[])) AS d(id, token)
WHERE j.id = ANY (%(ids)s::bigint[]) AND j.id = d.id AND j.token = d.token
RETURNING d.id, d.token, jsonb_array_length(j.keys);
