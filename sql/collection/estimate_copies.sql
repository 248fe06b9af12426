-- The same of a large table, from a sample of its pages: rows sampled, different pictures for each of them (a picture of n rows counts 1/n
-- each time), and the most rows seen of one, counted by the index up to a limit.
SELECT count(*) AS rows, coalesce(sum(1.0 / c.copies), 0)::float8 AS pictures, coalesce(max(c.copies), 0) AS most
FROM (SELECT e.content_hash FROM imgvec.{embedding_table} AS e TABLESAMPLE SYSTEM (%(percent)s) WHERE octet_length(e.content_hash) NOT IN (0, 33) LIMIT %(rows)s) AS s
CROSS JOIN LATERAL (
    SELECT count(*) AS copies
    FROM (SELECT FROM imgvec.{embedding_table} AS o WHERE o.content_hash = s.content_hash LIMIT %(most)s) AS l
) AS c;
