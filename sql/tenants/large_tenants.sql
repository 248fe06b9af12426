-- Tenants of the source by their rows, of those that have %(least)s at least or are named (%(named)s, as text): the largest first.
SELECT s.{tenant}::text AS tenant, count(*) AS rows
FROM {source} AS s
GROUP BY s.{tenant}
HAVING count(*) >= %(least)s OR s.{tenant}::text = ANY (%(named)s::text[])
ORDER BY count(*) DESC, s.{tenant};
