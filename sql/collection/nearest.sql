-- The nearest rows joined with their source: the key as a JSON object, the distance (0 to 2), the asked columns.
-- The order is by n.distance, which the HNSW index gives, or by n.distance + 0, which no index gives and which
-- therefore misses nothing. The condition stands in a scope of its own, where a key column is not ambiguous;
-- PostgreSQL pulls that sub-select up. Equal distances are ordered by key; + 0 again, else PostgreSQL would trust
-- the order of a relaxed index scan.
SELECT found.*
FROM (
    SELECT {selected}
    FROM {near_rows} AS n
    JOIN (SELECT {wanted} FROM {source} WHERE {condition}) AS s ON {n_equals_s}
    ORDER BY {order}
    LIMIT %(limit)s
) AS found
ORDER BY found.distance OPERATOR(pg_catalog.+) 0, 1;
