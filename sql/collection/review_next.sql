-- Groups of near-duplicates with a pair that nobody decided, as the caller sees them: the first behind group %(after)s, and how many there are,
-- counted to %(most)s. The views are asked group by group, since a scalar subquery takes the number into their windows and EXISTS does not.
WITH question AS (
    SELECT c.group_id
    FROM (SELECT DISTINCT m.group_id FROM imgvec.{duplicate_member_table} AS m WHERE m.group_id > %(after)s) AS c
    WHERE (SELECT count(*) FROM imgvec.{duplicate_group_view} AS v WHERE v.group_id = c.group_id) > 1
      AND EXISTS (
        SELECT FROM imgvec.{duplicate_member_table} AS a
        JOIN imgvec.{duplicate_member_table} AS b ON b.group_id = a.group_id AND b.place > a.place
        LEFT JOIN imgvec.duplicate_decision AS d
            ON d.content_hash = LEAST(a.content_hash, b.content_hash)
            AND d.other_content_hash = GREATEST(a.content_hash, b.content_hash)
        WHERE a.group_id = c.group_id AND d.decision IS NULL
      )
    ORDER BY c.group_id
    LIMIT %(most)s
)
SELECT min(q.group_id), count(*) FROM question AS q;
