-- Columns of one row of the source as JSON, by its key, a JSON object, and how many embedded rows have its picture.
SELECT (SELECT pg_catalog.count(*) FROM imgvec.{embedding_table} AS o
        WHERE o.content_hash OPERATOR(pg_catalog.=) e.content_hash AND e.content_hash OPERATOR(pg_catalog.<>) ''::pg_catalog.bytea){shown}
FROM pg_catalog.jsonb_to_record(%(key)s::pg_catalog.jsonb) AS k({key_definitions})
JOIN (SELECT {wanted} FROM {source}) AS s ON {k_equals_s}
JOIN imgvec.{embedding_table} AS e ON {e_equals_s};
