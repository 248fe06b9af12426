-- What `imgvec duplicates COLLECTION --against OTHER` fills: pairs of a row of one collection and one of another, and the view that people read, which
-- follows row-level security of both sources and leaves out what is gone, was embedded anew since, or was decided.
CREATE TABLE imgvec.{against_table} (
    {key_definitions},
    {other_key_definitions},
    content_hash bytea NOT NULL,
    other_content_hash bytea NOT NULL,
    distance double precision NOT NULL,
    why text NOT NULL,
    PRIMARY KEY ({keys}, {other_keys}),
    FOREIGN KEY ({keys}) REFERENCES imgvec.{embedding_table} ({keys}) ON DELETE CASCADE ON UPDATE CASCADE,
    FOREIGN KEY ({other_keys}) REFERENCES imgvec.{other_embedding_table} ({keys_of_other}) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX ON imgvec.{against_table} ({other_keys});
ALTER TABLE imgvec.{against_table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY follow_embedding ON imgvec.{against_table} FOR SELECT
    USING (EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {e_equals_against})
           AND EXISTS (SELECT FROM imgvec.{other_embedding_table} AS o WHERE {o_equals_against}));
CREATE VIEW imgvec.{against_view} WITH (security_invoker = true) AS
SELECT {p_keys}, {p_other_keys}, p.distance, p.why, d.decision
FROM imgvec.{against_table} AS p
JOIN imgvec.{embedding_table} AS e ON {e_equals_p} AND e.content_hash OPERATOR(pg_catalog.=) p.content_hash
JOIN imgvec.{other_embedding_table} AS o ON {o_equals_p_other} AND o.content_hash OPERATOR(pg_catalog.=) p.other_content_hash
LEFT JOIN imgvec.duplicate_decision AS d
    ON d.content_hash OPERATOR(pg_catalog.=) LEAST(p.content_hash, p.other_content_hash)
    AND d.other_content_hash OPERATOR(pg_catalog.=) GREATEST(p.content_hash, p.other_content_hash)
WHERE d.decision IS NULL OR d.decision OPERATOR(pg_catalog.=) 'same';
COMMENT ON VIEW imgvec.{against_view} IS {against_comment};
DO $grants$
BEGIN
    IF to_regrole('imgvec_reader') IS NOT NULL THEN
        GRANT SELECT ON imgvec.{against_table}, imgvec.{against_view} TO imgvec_reader;
    END IF;
    IF to_regrole('imgvec_worker') IS NOT NULL THEN
        GRANT SELECT ON imgvec.{against_view} TO imgvec_worker;
        GRANT SELECT, INSERT, DELETE ON imgvec.{against_table} TO imgvec_worker;
        CREATE POLICY worker_writes ON imgvec.{against_table} TO imgvec_worker USING (true) WITH CHECK (true);
    END IF;
END
$grants$;
