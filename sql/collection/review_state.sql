-- What one group is at this moment, as the caller sees it: a digest of its pairs and of what is decided about them, how many are undecided, how
-- many there are, and the decision that all of them have, else NULL. The digest changes with each decision about one of the pairs.
WITH pair AS (
    SELECT a.place, b.place AS other_place, a.content_hash, b.content_hash AS other_content_hash, d.decision
    FROM imgvec.{duplicate_member_table} AS a
    JOIN imgvec.{duplicate_member_table} AS b ON b.group_id = a.group_id AND b.place > a.place
    LEFT JOIN imgvec.duplicate_decision AS d
        ON d.content_hash = LEAST(a.content_hash, b.content_hash)
        AND d.other_content_hash = GREATEST(a.content_hash, b.content_hash)
    WHERE a.group_id = %(group_id)s
)
SELECT encode(sha256(convert_to(string_agg(
           concat_ws(' ', encode(p.content_hash, 'hex'), encode(p.other_content_hash, 'hex'), p.decision), ','
           ORDER BY p.place, p.other_place), 'UTF8')), 'hex'),
       count(*) FILTER (WHERE p.decision IS NULL), count(*),
       CASE WHEN count(p.decision) = count(*) AND min(p.decision) = max(p.decision) THEN min(p.decision) END
FROM pair AS p;
