-- The indexes of the table t.oid by whose order PostgreSQL can read its column "embedding", of whatever access method: those over
-- all its rows whose operator class has an ordering operator for the search's distance. That is <=> of the column's own type,
-- or <~> over its bits (quantization 'bit'). Invalid ones too. method: its name in pg_am; options: what stands in WITH (...).
-- Sub-selects, so that a search looks up only what it asks for.
(SELECT x.indexrelid AS index_oid, x.indisvalid AS is_valid, CASE x.indkey[0] WHEN 0 THEN 'bit' END AS quantization,
        (SELECT m.amname FROM pg_catalog.pg_am AS m WHERE m.oid = f.opcmethod)::text AS method,
        (SELECT k.relname FROM pg_catalog.pg_class AS k WHERE k.oid = x.indexrelid)::text AS name,
        (SELECT coalesce(pg_catalog.jsonb_object_agg(o.option_name, o.option_value), pg_catalog.jsonb_build_object())
         FROM pg_catalog.pg_class AS k CROSS JOIN LATERAL pg_catalog.pg_options_to_table(k.reloptions) AS o
         WHERE k.oid = x.indexrelid) AS options
 FROM pg_catalog.pg_attribute AS a
 -- Beside the one on the column, an expression's; the others are left out before anything is looked up.
 JOIN pg_catalog.pg_index AS x ON x.indrelid = a.attrelid AND x.indkey[0] IN (a.attnum, 0) AND x.indpred IS NULL
 JOIN pg_catalog.pg_opclass AS f ON f.oid = x.indclass[0]
 WHERE a.attrelid = t.oid AND a.attname = 'embedding'
   AND EXISTS (SELECT FROM pg_catalog.pg_amop AS s JOIN pg_catalog.pg_operator AS o ON o.oid = s.amopopr
               WHERE s.amopfamily = f.opcfamily AND s.amoppurpose = 'o' AND s.amoplefttype = f.opcintype
                 AND CASE x.indkey[0] WHEN 0 THEN o.oprname = '<~>' ELSE o.oprname = '<=>' AND o.oprleft = a.atttypid END))
