-- What `imgvec duplicates` fills: pairs and members of groups, the two views that people read, and what a following run goes on from. Both views follow row-level security
-- (they are the invoker's, and the tables' policies ask the embedding table, whose policy asks the source), leave out pictures that are
-- gone or were embedded anew since, and pairs that somebody decided.
CREATE TABLE imgvec.{duplicate_pair_table} (
    {key_definitions},
    {other_key_definitions},
    content_hash bytea NOT NULL,
    other_content_hash bytea NOT NULL,
    distance double precision NOT NULL,
    why text NOT NULL,
    PRIMARY KEY ({keys}, {other_keys}),
    FOREIGN KEY ({keys}) REFERENCES imgvec.{embedding_table} ({keys}) ON DELETE CASCADE ON UPDATE CASCADE,
    FOREIGN KEY ({other_keys}) REFERENCES imgvec.{embedding_table} ({keys}) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX ON imgvec.{duplicate_pair_table} ({other_keys});
CREATE TABLE imgvec.{duplicate_member_table} (
    {key_definitions},
    group_id integer NOT NULL,
    content_hash bytea NOT NULL,
    place integer NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY ({keys}),
    FOREIGN KEY ({keys}) REFERENCES imgvec.{embedding_table} ({keys}) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX ON imgvec.{duplicate_member_table} (group_id);
-- What the last run has compared, so that the next one compares only what is new: the rows, each at the version and time that it was read at
-- (an application's own vectors keep version 0), with a number; coordinates of many rows by number (halves, see duplicates/sketch.py), under
-- the number of the first; and the run itself. Names begin so that no key column has them.
CREATE TABLE imgvec.{duplicate_seen_table} (
    imgvec_number integer PRIMARY KEY,
    {key_definitions},
    version bigint NOT NULL,
    embedded_at timestamptz NOT NULL
);
CREATE TABLE imgvec.{duplicate_block_table} (
    imgvec_number integer PRIMARY KEY,
    coordinates bytea NOT NULL
);
-- Halves do not compress: trying to would cost more than the comparison.
ALTER TABLE imgvec.{duplicate_block_table} ALTER coordinates SET STORAGE EXTERNAL;
CREATE TABLE imgvec.{duplicate_run_table} (
    is_last boolean PRIMARY KEY DEFAULT true CHECK (is_last),
    threshold double precision NOT NULL,
    condition text,
    keep text[] NOT NULL,
    linkage text NOT NULL,
    row_count bigint NOT NULL,
    next_number integer NOT NULL,
    not_embedded bigint NOT NULL,
    axes bytea NOT NULL,
    largest_square double precision NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE imgvec.{duplicate_pair_table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE imgvec.{duplicate_member_table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY follow_embedding ON imgvec.{duplicate_pair_table} FOR SELECT
    USING (EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {e_equals_pair})
           AND EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {e_equals_other}));
CREATE POLICY follow_embedding ON imgvec.{duplicate_member_table} FOR SELECT
    USING (EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {e_equals_member}));
CREATE VIEW imgvec.{duplicate_view} WITH (security_invoker = true) AS
SELECT {p_keys}, {p_other_keys}, p.distance, p.why, d.decision
FROM imgvec.{duplicate_pair_table} AS p
JOIN imgvec.{embedding_table} AS e ON {e_equals_p} AND e.content_hash OPERATOR(pg_catalog.=) p.content_hash
JOIN imgvec.{embedding_table} AS o ON {o_equals_p_other} AND o.content_hash OPERATOR(pg_catalog.=) p.other_content_hash
LEFT JOIN imgvec.duplicate_decision AS d
    ON d.content_hash OPERATOR(pg_catalog.=) LEAST(p.content_hash, p.other_content_hash)
    AND d.other_content_hash OPERATOR(pg_catalog.=) GREATEST(p.content_hash, p.other_content_hash)
WHERE d.decision IS NULL OR d.decision OPERATOR(pg_catalog.=) 'same';
CREATE VIEW imgvec.{duplicate_group_view} WITH (security_invoker = true) AS
WITH member AS (
    -- Names that no key column has.
    SELECT m.*, pg_catalog.count(*) OVER g AS imgvec_members, pg_catalog.min(m.place) OVER g AS imgvec_first
    FROM imgvec.{duplicate_member_table} AS m
    JOIN imgvec.{embedding_table} AS e ON {e_equals_m} AND e.content_hash OPERATOR(pg_catalog.=) m.content_hash
    WINDOW g AS (PARTITION BY m.group_id)
)
SELECT m.group_id, {m_keys}, m.place OPERATOR(pg_catalog.=) m.imgvec_first AS is_keeper, m.reason
FROM member AS m
WHERE m.imgvec_members OPERATOR(pg_catalog.>) 1
  -- Until the next run, which groups what remains.
  AND NOT EXISTS (
    SELECT FROM imgvec.duplicate_decision AS d
    JOIN imgvec.{duplicate_member_table} AS a ON a.content_hash OPERATOR(pg_catalog.=) d.content_hash
    JOIN imgvec.{duplicate_member_table} AS b ON b.content_hash OPERATOR(pg_catalog.=) d.other_content_hash
        AND b.group_id OPERATOR(pg_catalog.=) a.group_id AND b.place OPERATOR(pg_catalog.<>) a.place
    WHERE d.decision OPERATOR(pg_catalog.<>) 'same' AND a.group_id OPERATOR(pg_catalog.=) m.group_id
  );
COMMENT ON VIEW imgvec.{duplicate_view} IS {pair_comment};
COMMENT ON VIEW imgvec.{duplicate_group_view} IS {group_comment};
DO $grants$
BEGIN
    IF to_regrole('imgvec_reader') IS NOT NULL THEN
        GRANT SELECT ON imgvec.{duplicate_pair_table}, imgvec.{duplicate_member_table}, imgvec.{duplicate_view},
            imgvec.{duplicate_group_view} TO imgvec_reader;
        GRANT SELECT (threshold, linkage, ended_at) ON imgvec.{duplicate_run_table} TO imgvec_reader;
    END IF;
    IF to_regrole('imgvec_worker') IS NOT NULL THEN
        GRANT SELECT ON imgvec.{duplicate_view}, imgvec.{duplicate_group_view} TO imgvec_worker;
        GRANT SELECT, INSERT, DELETE ON imgvec.{duplicate_pair_table}, imgvec.{duplicate_member_table} TO imgvec_worker;
        GRANT UPDATE (why) ON imgvec.{duplicate_pair_table} TO imgvec_worker;
        GRANT SELECT, INSERT, UPDATE, DELETE ON imgvec.{duplicate_seen_table}, imgvec.{duplicate_block_table},
            imgvec.{duplicate_run_table} TO imgvec_worker;
        CREATE POLICY worker_writes ON imgvec.{duplicate_pair_table} TO imgvec_worker USING (true) WITH CHECK (true);
        CREATE POLICY worker_writes ON imgvec.{duplicate_member_table} TO imgvec_worker USING (true) WITH CHECK (true);
    END IF;
END
$grants$;
