-- What `imgvec map` fills: a point a row, the clusters, the run; and the view that people read, which follows row-level security (it is the
-- invoker's, and the tables' policies ask the embedding table, whose policy asks the source). version, embedded_at: of the vector that a point
-- was placed by. is_landmark: placed by all landmarks together, so that others are placed by it. is_later: placed after the run, by --update.
CREATE TABLE imgvec.{map_point_table} (
    {key_definitions},
    x real NOT NULL,
    y real NOT NULL,
    cluster integer NOT NULL,
    is_landmark boolean NOT NULL,
    is_later boolean NOT NULL,
    version bigint NOT NULL,
    embedded_at timestamptz NOT NULL,
    PRIMARY KEY ({keys}),
    FOREIGN KEY ({keys}) REFERENCES imgvec.{embedding_table} ({keys}) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX ON imgvec.{map_point_table} (cluster);
-- The row at a place that somebody points at.
CREATE INDEX ON imgvec.{map_point_table} (x, y);
CREATE TABLE imgvec.{map_cluster_table} (
    cluster integer PRIMARY KEY,
    name text NOT NULL,
    x real NOT NULL,
    y real NOT NULL
);
CREATE TABLE imgvec.{map_run_table} (
    is_last boolean PRIMARY KEY DEFAULT true CHECK (is_last),
    method text NOT NULL,
    row_count bigint NOT NULL,
    picture_count bigint NOT NULL,
    landmark_count bigint NOT NULL,
    silhouette double precision,
    named_by text NOT NULL,
    condition text,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE imgvec.{map_point_table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE imgvec.{map_cluster_table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY follow_embedding ON imgvec.{map_point_table} FOR SELECT
    USING (EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {e_equals_point}));
-- A name may be a value of rows: it is shown to those who see one of its rows and, where a column names the clusters ("column kind"), may
-- read that column. One that was dropped or renamed since is nobody's.
CREATE POLICY follow_points ON imgvec.{map_cluster_table} FOR SELECT
    USING (
        EXISTS (SELECT FROM imgvec.{map_point_table} AS p WHERE p.cluster OPERATOR(pg_catalog.=) {map_cluster_table}.cluster)
        AND NOT EXISTS (
            SELECT FROM imgvec.{map_run_table} AS r
            WHERE pg_catalog.starts_with(r.named_by, 'column ') AND NOT EXISTS (
                SELECT FROM imgvec.collection AS c JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.source
                WHERE c.id OPERATOR(pg_catalog.=) {collection_id} AND NOT a.attisdropped
                  AND a.attname OPERATOR(pg_catalog.=) pg_catalog.substr(r.named_by, 8)::pg_catalog.name
                  AND pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT')
            )
        )
    );
CREATE VIEW imgvec.{map_view} WITH (security_invoker = true) AS
SELECT {p_keys}, p.x, p.y, p.cluster, c.name AS cluster_name
FROM imgvec.{map_point_table} AS p
LEFT JOIN imgvec.{map_cluster_table} AS c ON c.cluster OPERATOR(pg_catalog.=) p.cluster;
COMMENT ON VIEW imgvec.{map_view} IS {map_comment};
DO $grants$
BEGIN
    IF to_regrole('imgvec_reader') IS NOT NULL THEN
        GRANT SELECT ON imgvec.{map_point_table}, imgvec.{map_cluster_table}, imgvec.{map_view} TO imgvec_reader;
        GRANT SELECT (method, row_count, picture_count, landmark_count, silhouette, named_by, ended_at)
            ON imgvec.{map_run_table} TO imgvec_reader;
    END IF;
    IF to_regrole('imgvec_worker') IS NOT NULL THEN
        GRANT SELECT ON imgvec.{map_view} TO imgvec_worker;
        GRANT SELECT, INSERT, UPDATE, DELETE ON imgvec.{map_point_table}, imgvec.{map_cluster_table}, imgvec.{map_run_table}
            TO imgvec_worker;
        CREATE POLICY worker_writes ON imgvec.{map_point_table} TO imgvec_worker USING (true) WITH CHECK (true);
        CREATE POLICY worker_writes ON imgvec.{map_cluster_table} TO imgvec_worker USING (true) WITH CHECK (true);
    END IF;
END
$grants$;
