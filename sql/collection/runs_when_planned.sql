-- Whether PostgreSQL may run what no superuser has written as it plans a statement over the table {planned}, or over what lies beneath it: it
-- works out the constant parts of indexes, statistics, CHECK constraints and partition keys then, as whoever asks.
EXISTS (
    WITH RECURSIVE beneath (oid) AS (
        SELECT {planned}::oid
        UNION
        SELECT i.inhrelid FROM beneath AS b JOIN pg_catalog.pg_inherits AS i ON i.inhparent = b.oid
    ), planned (classid, objid) AS (
        SELECT 'pg_catalog.pg_class'::regclass::oid, b.oid FROM beneath AS b
        UNION ALL
        SELECT 'pg_catalog.pg_class'::regclass::oid, x.indexrelid FROM beneath AS b JOIN pg_catalog.pg_index AS x ON x.indrelid = b.oid
        UNION ALL
        SELECT 'pg_catalog.pg_statistic_ext'::regclass::oid, x.oid FROM beneath AS b JOIN pg_catalog.pg_statistic_ext AS x ON x.stxrelid = b.oid
        UNION ALL
        -- A range's function tells the planner how far apart its ends are.
        SELECT 'pg_catalog.pg_type'::regclass::oid, x.rngtypid
        FROM beneath AS b JOIN pg_catalog.pg_attribute AS a ON a.attrelid = b.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_catalog.pg_range AS x ON a.atttypid IN (x.rngtypid, x.rngmultitypid)
        UNION ALL
        SELECT 'pg_catalog.pg_constraint'::regclass::oid, x.oid FROM beneath AS b JOIN pg_catalog.pg_constraint AS x ON x.conrelid = b.oid
    )
    SELECT FROM planned AS o
    JOIN pg_catalog.pg_depend AS d ON d.classid = o.classid AND d.objid = o.objid
    LEFT JOIN pg_catalog.pg_operator AS y ON d.refclassid = 'pg_catalog.pg_operator'::regclass::oid AND y.oid = d.refobjid
    JOIN pg_catalog.pg_proc AS p ON p.oid = CASE d.refclassid WHEN 'pg_catalog.pg_proc'::regclass::oid THEN d.refobjid ELSE y.oprcode::oid END
    JOIN pg_catalog.pg_roles AS r ON r.oid = p.proowner
    WHERE NOT r.rolsuper AND r.rolname <> current_user
)
