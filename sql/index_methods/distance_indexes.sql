-- The indexes of the table t.oid by whose order PostgreSQL can read its column "embedding", of whatever access method: those over
-- all its rows whose operator class has an ordering operator for the search's distance. That is <=> of the column's own type,
-- or <~> over its bits (quantization 'bit'). Invalid ones too. method: its name in pg_am; options: what stands in WITH (...).
(SELECT k.oid AS index_oid, k.relname::text AS name, m.amname::text AS method, x.indisvalid AS is_valid,
        CASE d.oprname WHEN '<~>' THEN 'bit' END AS quantization,
        (SELECT coalesce(pg_catalog.jsonb_object_agg(o.option_name, o.option_value), pg_catalog.jsonb_build_object())
         FROM pg_catalog.pg_options_to_table(k.reloptions) AS o) AS options
 FROM pg_catalog.pg_index AS x
 JOIN pg_catalog.pg_class AS k ON k.oid = x.indexrelid
 JOIN pg_catalog.pg_am AS m ON m.oid = k.relam
 JOIN pg_catalog.pg_opclass AS f ON f.oid = x.indclass[0]
 JOIN pg_catalog.pg_attribute AS a ON a.attrelid = x.indrelid AND a.attname = 'embedding'
 CROSS JOIN LATERAL (SELECT o.oprname
                     FROM pg_catalog.pg_amop AS s JOIN pg_catalog.pg_operator AS o ON o.oid = s.amopopr
                     WHERE s.amopfamily = f.opcfamily AND s.amoppurpose = 'o' AND s.amoplefttype = f.opcintype
                       AND (o.oprname = '<=>' AND x.indkey[0] = a.attnum AND o.oprleft = a.atttypid
                            OR o.oprname = '<~>' AND x.indkey[0] = 0)
                     LIMIT 1) AS d
 WHERE x.indrelid = t.oid AND x.indpred IS NULL)
