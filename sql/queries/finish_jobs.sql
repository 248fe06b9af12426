-- Take finished jobs off the queue and return their ids and numbers of keys. One that does not come back was leased
-- to another worker meanwhile: its result must be dropped.
DELETE FROM imgvec.job WHERE id = ANY (%(ids)s::bigint[]) AND token = %(token)s
RETURNING id, jsonb_array_length(keys);
