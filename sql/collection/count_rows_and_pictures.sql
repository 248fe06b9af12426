-- Embedded rows, different pictures among them, and the most rows that one of them has; a vector of unknown bytes has a picture of its own.
-- So has each row of a hash that many rows with many vectors have, as where something else than a worker wrote one and the same for
-- all: it is no picture's, and rows would be joined to each other's vectors. Looked for among the 20 most frequent, in 100 rows of each.
WITH hashes AS MATERIALIZED (
    SELECT e.content_hash, count(*) AS rows, octet_length(e.content_hash) NOT IN (0, 33) AS is_known
    FROM imgvec.{embedding_table} AS e GROUP BY e.content_hash
), no_pictures AS MATERIALIZED (
    SELECT h.content_hash
    FROM (SELECT f.* FROM hashes AS f WHERE f.is_known AND f.rows >= 100 ORDER BY f.rows DESC LIMIT 20) AS h
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT l.embedding) AS vectors
        FROM (SELECT o.embedding FROM imgvec.{embedding_table} AS o WHERE o.content_hash = h.content_hash LIMIT 100) AS l
    ) AS v
    WHERE v.vectors > 20
)
SELECT coalesce(sum(p.rows), 0)::bigint, coalesce(sum(CASE WHEN p.is_picture THEN 1 ELSE p.rows END), 0)::bigint,
       coalesce(max(CASE WHEN p.is_picture THEN p.rows END), 0)::bigint
FROM (
    SELECT h.rows, h.is_known AND h.content_hash NOT IN (SELECT n.content_hash FROM no_pictures AS n) AS is_picture FROM hashes AS h
) AS p;
