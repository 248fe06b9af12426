-- Embedded rows with a picture of known bytes, different pictures among them, and the most rows that one of them has. Reads them all.
SELECT coalesce(sum(p.rows), 0)::bigint AS rows, count(*) AS pictures, coalesce(max(p.rows), 0) AS most
FROM (SELECT count(*) AS rows FROM imgvec.{embedding_table} AS e WHERE octet_length(e.content_hash) NOT IN (0, 33) GROUP BY e.content_hash) AS p;
