-- What PostgreSQL knows of columns that a query filters by together: which of the names are columns of the table, whether
-- extended statistics cover two of them at least, and whether the table was ever analyzed (a relation with rows, or their kind).
SELECT format('%%I.%%I', n.nspname, c.relname) AS shown,
       coalesce(array_agg(quote_ident(a.attname) ORDER BY a.attnum) FILTER (WHERE a.attname IS NOT NULL), '{}') AS columns,
       EXISTS (SELECT FROM pg_catalog.pg_statistic_ext AS s
               WHERE s.stxrelid = c.oid
                 AND (SELECT count(*) FROM unnest(s.stxkeys::smallint[]) AS k
                      JOIN pg_catalog.pg_attribute AS b ON b.attrelid = c.oid AND b.attnum = k
                      WHERE b.attname = ANY (%(names)s)) >= 2) AS has_statistics,
       c.reltuples >= 0 AS is_analyzed
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute AS a
       ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname = ANY (%(names)s)
WHERE n.nspname = %(schema)s AND c.relname = %(table)s
GROUP BY c.oid, n.nspname, c.relname, c.reltuples;
