-- Members of groups that are not to be as they are. A DELETE: with TRUNCATE readers would wait.
DELETE FROM imgvec.{duplicate_member_table} AS m
WHERE NOT EXISTS (
    SELECT FROM pg_temp.imgvec_member AS r
    WHERE {r_equals_m} AND r.imgvec_group = m.group_id AND r.imgvec_hash = m.content_hash AND r.imgvec_keep = m.place
      AND r.imgvec_reason = m.reason
)
