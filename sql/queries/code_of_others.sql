-- What the view imgvec_condition calls that neither a superuser nor this role has made, and who has: functions, those of casts too,
-- operators, domains (whose checks run), views other than {relation} itself, and tables that run it when they are planned.
SELECT CASE d.refclassid
           WHEN 'pg_catalog.pg_proc'::regclass::oid THEN d.refobjid::regprocedure::text
           WHEN 'pg_catalog.pg_operator'::regclass::oid THEN d.refobjid::regoperator::text
           WHEN 'pg_catalog.pg_type'::regclass::oid THEN d.refobjid::regtype::text
           ELSE d.refobjid::regclass::text END, r.rolname
FROM pg_catalog.pg_rewrite AS w
JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_rewrite'::regclass::oid AND d.objid = w.oid
LEFT JOIN pg_catalog.pg_proc AS p ON d.refclassid = 'pg_catalog.pg_proc'::regclass::oid AND p.oid = d.refobjid
LEFT JOIN pg_catalog.pg_operator AS o ON d.refclassid = 'pg_catalog.pg_operator'::regclass::oid AND o.oid = d.refobjid
LEFT JOIN pg_catalog.pg_type AS t ON d.refclassid = 'pg_catalog.pg_type'::regclass::oid AND t.oid = d.refobjid AND t.typtype = 'd'
LEFT JOIN pg_catalog.pg_class AS c ON d.refclassid = 'pg_catalog.pg_class'::regclass::oid AND c.oid = d.refobjid
    AND c.oid <> {relation}::regclass::oid AND c.oid <> w.ev_class
    AND CASE WHEN c.relkind = 'v' THEN true WHEN c.relkind IN ('r', 'p') THEN {runs_when_planned} END
JOIN pg_catalog.pg_roles AS r ON r.oid = coalesce(p.proowner, o.oprowner, t.typowner, c.relowner)
WHERE w.ev_class = 'pg_temp.imgvec_condition'::regclass::oid AND NOT r.rolsuper AND r.rolname <> current_user
ORDER BY 1 LIMIT 1;
