-- Tenants of the source by their rows, of those that have %(least)s at least or are named (%(named)s, as text): the largest first; and
-- whether each is one of %(there)s: equal ones may be written differently (citext, numeric).
SELECT s.{tenant}::text AS tenant, count(*) AS rows,
       s.{tenant} {tenant_equality} ANY (%(there)s::text[]::{tenant_type}[]) AS is_there
FROM {source} AS s
-- A view may have rows without one, which no key has and nothing embeds.
WHERE s.{tenant} IS NOT NULL
GROUP BY s.{tenant}
HAVING count(*) >= %(least)s OR s.{tenant}::text = ANY (%(named)s::text[])
ORDER BY count(*) DESC, s.{tenant};
