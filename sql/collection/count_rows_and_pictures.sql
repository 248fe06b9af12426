-- Embedded rows, different pictures among them, and the most rows that one of them has; a vector of unknown bytes has a picture of its own.
SELECT coalesce(sum(p.rows), 0)::bigint, coalesce(sum(CASE WHEN p.is_known THEN 1 ELSE p.rows END), 0)::bigint,
       coalesce(max(CASE WHEN p.is_known THEN p.rows END), 0)::bigint
FROM (
    SELECT count(*) AS rows, octet_length(e.content_hash) NOT IN (0, 33) AS is_known
    FROM imgvec.{embedding_table} AS e GROUP BY e.content_hash
) AS p;
