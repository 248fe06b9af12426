-- The indexes of one table, valid or not, each with what Alembic itself does not compare: method, operator class, options.
-- is_plain: one column of the whole table. column_name is that column, null for an expression.
SELECT i.relname AS name, a.amname AS method, f.opcname AS opclass, x.indisvalid AS is_valid,
       x.indnkeyatts = 1 AND x.indpred IS NULL AND x.indexprs IS NULL AS is_plain, t.attname AS column_name,
       coalesce((SELECT o.option_value::integer FROM pg_catalog.pg_options_to_table(i.reloptions) AS o
                 WHERE o.option_name = 'm'), 16) AS m,
       coalesce((SELECT o.option_value::integer FROM pg_catalog.pg_options_to_table(i.reloptions) AS o
                 WHERE o.option_name = 'ef_construction'), 64) AS ef_construction
FROM pg_catalog.pg_index AS x
JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_am AS a ON a.oid = i.relam
JOIN pg_catalog.pg_opclass AS f ON f.oid = x.indclass[0]
LEFT JOIN pg_catalog.pg_attribute AS t ON t.attrelid = x.indrelid AND t.attnum = x.indkey[0]
WHERE x.indrelid = pg_catalog.to_regclass({table});
