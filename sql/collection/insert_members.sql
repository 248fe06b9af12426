-- Members of groups, the one to keep first: by the rules in their order, nulls last, then by the key. reason: the rule that put a member
-- behind the first, of the first the one that told it from all others; 'key' where no rule does.
INSERT INTO imgvec.{duplicate_member_table} ({keys}, group_id, content_hash, place, reason)
SELECT {r_keys}, r.imgvec_group, r.imgvec_hash, r.imgvec_keep, {reason}
FROM (
    SELECT r.*, row_number() OVER (PARTITION BY r.imgvec_group ORDER BY {order}r.imgvec_place) AS imgvec_keep{ranks}
    FROM pg_temp.imgvec_row AS r
    LEFT JOIN (SELECT {keys}{rules} FROM {source}) AS s ON {r_equals_s}
    WHERE r.imgvec_group IS NOT NULL
) AS r
