-- Columns of a relation to filter by that this role may read, in the table's order, with what ANALYZE left of them: kind, the most
-- common values with their shares, bounds of a histogram of the others, the rows, the share of NULLs. Text is a category where it has at most 50 values that
-- two rows each have on average: n_distinct is their number, or below 0 their share of the rows. pg_stats has nothing where row-level security applies.
SELECT a.attname,
       CASE WHEN t.oid = 'pg_catalog.bool'::regtype THEN 'boolean'
            WHEN t.oid IN ('pg_catalog.date'::regtype, 'pg_catalog.timestamp'::regtype, 'pg_catalog.timestamptz'::regtype) THEN 'date'
            WHEN t.typtype = 'e' OR t.typcategory = 'S' AND s.n_distinct > -0.5
                 AND CASE WHEN s.n_distinct < 0 THEN -s.n_distinct * c.reltuples ELSE s.n_distinct END BETWEEN 1 AND 50 THEN 'category'
            WHEN t.typcategory = 'S' THEN 'text'
            ELSE 'number' END,
       CASE WHEN t.typtype = 'e'
            THEN (SELECT array_agg(l.enumlabel::text ORDER BY l.enumsortorder) FROM pg_catalog.pg_enum AS l WHERE l.enumtypid = t.oid)
            END,
       s.most_common_vals::text::text[], s.most_common_freqs::float8[], s.histogram_bounds::text::text[],
       greatest(c.reltuples, 0)::float8, coalesce(s.null_frac, 0)::float8
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
LEFT JOIN LATERAL (
    SELECT * FROM pg_catalog.pg_stats AS s
    WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
    ORDER BY s.inherited DESC LIMIT 1
) AS s ON true
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
  AND (t.typtype = 'e' OR t.oid IN (
      'pg_catalog.bool'::regtype, 'pg_catalog.date'::regtype, 'pg_catalog.timestamp'::regtype, 'pg_catalog.timestamptz'::regtype,
      'pg_catalog.int2'::regtype, 'pg_catalog.int4'::regtype, 'pg_catalog.int8'::regtype, 'pg_catalog.numeric'::regtype,
      'pg_catalog.float4'::regtype, 'pg_catalog.float8'::regtype,
      'pg_catalog.text'::regtype, 'pg_catalog.varchar'::regtype, 'pg_catalog.bpchar'::regtype))
  AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
  AND NOT a.attname = ANY (%(except)s)
ORDER BY a.attnum LIMIT %(limit)s;
