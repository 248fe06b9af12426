-- Who decided last about a pair of a group, what, and how many seconds ago.
SELECT d.decided_by, d.decision, extract(epoch FROM clock_timestamp() - d.decided_at)::double precision
FROM imgvec.{duplicate_member_table} AS a
JOIN imgvec.{duplicate_member_table} AS b ON b.group_id = a.group_id AND b.place > a.place
JOIN imgvec.duplicate_decision AS d
    ON d.content_hash = LEAST(a.content_hash, b.content_hash)
    AND d.other_content_hash = GREATEST(a.content_hash, b.content_hash)
WHERE a.group_id = %(group_id)s
ORDER BY d.decided_at DESC
LIMIT 1;
