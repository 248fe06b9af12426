-- Objects outside the schema imgvec that need an object inside it, other than the triggers of collections: views,
-- functions, foreign keys of the application. Each as "view shop.similar (needs function imgvec.near_photos(...))".
WITH inside AS (
    SELECT 'pg_class'::regclass AS classid, oid AS objid FROM pg_class WHERE relnamespace = 'imgvec'::regnamespace
    UNION ALL
    SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace = 'imgvec'::regnamespace
    UNION ALL
    SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typnamespace = 'imgvec'::regnamespace
), needs AS (
    -- A view is known to pg_depend by its rule.
    SELECT CASE WHEN r.oid IS NULL THEN d.classid ELSE 'pg_class'::regclass END AS classid,
           coalesce(r.ev_class, d.objid) AS objid,
           min(pg_describe_object(i.classid, i.objid, 0)) AS needed
    FROM inside AS i
    JOIN pg_depend AS d ON d.refclassid = i.classid AND d.refobjid = i.objid AND d.deptype IN ('n', 'a')
    LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    GROUP BY 1, 2
)
SELECT pg_catalog.format('%%s (needs %%s)', pg_describe_object(n.classid, n.objid, 0), n.needed)
FROM needs AS n
CROSS JOIN LATERAL pg_identify_object(n.classid, n.objid, 0) AS o
CROSS JOIN LATERAL pg_identify_object_as_address(n.classid, n.objid, 0) AS a
-- What belongs to a table carries the table's schema first in its address.
WHERE coalesce(o.schema, a.object_names[1]) <> 'imgvec'
  AND NOT (n.classid = 'pg_trigger'::regclass AND o.identity LIKE 'imgvec\_%%')
ORDER BY 1;
