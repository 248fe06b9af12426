-- Names of clusters of the maps that are there follow the column that names them, as in new maps (collection/map_relations.sql).
DO $policies$
DECLARE
    map record;
BEGIN
    FOR map IN
        SELECT c.id, c.name FROM imgvec.collection AS c
        JOIN pg_catalog.pg_policies AS p ON p.schemaname = 'imgvec' AND p.tablename = (c.name || '_map_cluster')::name AND p.policyname = 'follow_points'
        WHERE p.qual NOT LIKE '%has_column_privilege%'
    LOOP
        EXECUTE format($policy$
            ALTER POLICY follow_points ON imgvec.%2$I USING (
                EXISTS (SELECT FROM imgvec.%3$I AS p WHERE p.cluster OPERATOR(pg_catalog.=) %2$I.cluster)
                AND NOT EXISTS (
                    SELECT FROM imgvec.%4$I AS r
                    WHERE pg_catalog.starts_with(r.named_by, 'column ') AND NOT EXISTS (
                        SELECT FROM imgvec.collection AS c JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.source
                        WHERE c.id OPERATOR(pg_catalog.=) %1$s AND NOT a.attisdropped
                          AND a.attname OPERATOR(pg_catalog.=) pg_catalog.substr(r.named_by, 8)::pg_catalog.name
                          AND pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT')
                    )
                )
            )$policy$, map.id, map.name || '_map_cluster', map.name || '_map_point', map.name || '_map_run');
    END LOOP;
END
$policies$;
