-- Members of groups that are not there yet. Each is a look at its row's embedding, which the foreign key locks, so no others are.
INSERT INTO imgvec.{duplicate_member_table} ({keys}, group_id, content_hash, place, reason)
SELECT {r_keys}, r.imgvec_group, r.imgvec_hash, r.imgvec_keep, r.imgvec_reason
FROM pg_temp.imgvec_member AS r
WHERE NOT EXISTS (SELECT FROM imgvec.{duplicate_member_table} AS m WHERE {r_equals_m})
