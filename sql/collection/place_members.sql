-- Members of groups as they are to be, the one to keep first: by the rules in their order, nulls last, then by the key. reason: the rule that
-- put a member behind the first, of the first the one that told it from all others; 'key' where no rule does. A group has the lowest number that
-- one of its members had, unless a group before it took that; new ones come behind. So what did not change is not written again.
CREATE TEMP TABLE imgvec_member ON COMMIT DROP AS
WITH had AS (
    SELECT r.imgvec_group, min(m.group_id) AS imgvec_number
    FROM pg_temp.imgvec_row AS r JOIN imgvec.{duplicate_member_table} AS m ON {r_equals_m}
    WHERE r.imgvec_group IS NOT NULL
    GROUP BY r.imgvec_group
), kept AS (
    SELECT DISTINCT ON (h.imgvec_number) h.imgvec_group, h.imgvec_number FROM had AS h ORDER BY h.imgvec_number, h.imgvec_group
), numbered AS (
    SELECT g.imgvec_group, coalesce(k.imgvec_number,
        (SELECT coalesce(max(m.group_id), 0) FROM imgvec.{duplicate_member_table} AS m)
            + row_number() OVER (PARTITION BY k.imgvec_number IS NULL ORDER BY g.imgvec_group)) AS imgvec_number
    FROM (SELECT DISTINCT r.imgvec_group FROM pg_temp.imgvec_row AS r WHERE r.imgvec_group IS NOT NULL) AS g
    LEFT JOIN kept AS k ON k.imgvec_group = g.imgvec_group
)
SELECT {r_keys}, n.imgvec_number::integer AS imgvec_group, r.imgvec_hash, r.imgvec_keep::integer AS imgvec_keep, {reason} AS imgvec_reason
FROM (
    SELECT r.*, row_number() OVER (PARTITION BY r.imgvec_group ORDER BY {order}r.imgvec_place) AS imgvec_keep{ranks}
    FROM pg_temp.imgvec_row AS r
    LEFT JOIN (SELECT {keys}{rules} FROM {source}) AS s ON {r_equals_s}
    WHERE r.imgvec_group IS NOT NULL
) AS r
JOIN numbered AS n ON n.imgvec_group = r.imgvec_group
