-- Points of a map that this role sees, in no order, as one value: of each x and y (real), cluster (integer) and a number to colour it by
-- (double precision, NaN for none), big-endian. One value, as a message for each row wakes the reader for each: a million took seven times as long.
SELECT pg_catalog.string_agg(
    pg_catalog.float4send(p.x) OPERATOR(pg_catalog.||) pg_catalog.float4send(p.y) OPERATOR(pg_catalog.||) pg_catalog.int4send(p.cluster)
        OPERATOR(pg_catalog.||) pg_catalog.float8send(({value})::double precision), ''::pg_catalog.bytea
)
FROM imgvec.{map_point_table} AS p {joined}
