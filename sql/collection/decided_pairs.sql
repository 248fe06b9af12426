-- Distances of pairs that somebody decided to be the same, or not, and which of both.
SELECT p.distance, d.decision = 'same'
FROM imgvec.{duplicate_pair_table} AS p
JOIN imgvec.duplicate_decision AS d
    ON d.content_hash = LEAST(p.content_hash, p.other_content_hash)
    AND d.other_content_hash = GREATEST(p.content_hash, p.other_content_hash)
WHERE d.decision IN ('same', 'not_the_same')
