-- imgvec.search_state(collection): what a search from outside needs to know first: of a collection, by its name or alias,
-- what describes it, how large its embedding tables are (the partitions together, rows as the planner estimates them),
-- whether a valid index gives all their vectors by cosine distance (one that holds bits does not) and of which method, whether
-- row-level security hides rows of them from the caller, its own ef_search and the session's, and of an IVFFlat index its lists
-- and how many of them a search reads. The source's names are null when its table
-- is gone; no row for an unknown collection. A collection that is dropped and created again has another id.
-- In plpgsql, which keeps its plans: to plan this takes four times as long as to run it.
-- An older release's has fewer columns.
DROP FUNCTION IF EXISTS imgvec.search_state(text);
CREATE FUNCTION imgvec.search_state(collection text)
RETURNS TABLE (name text, dimensions integer, key_columns text[], ef_search smallint, source_schema text, source_name text,
               embedded_rows double precision, embedded_bytes double precision, has_index boolean, hides_rows boolean, session_ef_search integer,
               id integer, index_method text, index_lists integer, index_probes integer)
LANGUAGE plpgsql STABLE ROWS 1
SET search_path = pg_catalog, pg_temp
AS $state$
#variable_conflict use_column
DECLARE
    source oid;
    embeddings oid;
    indexed oid;
    tuned_probes integer;
BEGIN
    SELECT c.id, c.name, m.dimensions, c.key_columns, c.ef_search, c.probes, c.source,
           to_regclass('imgvec.' || quote_ident(c.name || '_embedding')),
           to_regclass('imgvec.' || quote_ident(c.name || CASE WHEN c.by_picture THEN '_picture' ELSE '_embedding' END))
    INTO id, name, dimensions, key_columns, ef_search, tuned_probes, source, embeddings, indexed
    FROM imgvec.collection AS c
    JOIN imgvec.model AS m ON m.id = c.model_id
    WHERE c.name = $1 OR c.id = (SELECT a.collection_id FROM imgvec.alias AS a WHERE a.name = $1);
    IF embeddings IS NULL THEN
        RETURN;
    END IF;
    SELECT r.relname, n.nspname INTO source_name, source_schema
    FROM pg_catalog.pg_class AS r JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
    WHERE r.oid = source;
    SELECT coalesce(sum(CASE WHEN p.relpages > 0
                             THEN greatest(p.reltuples, 0) / p.relpages * pg_relation_size(p.oid) / 8192.0
                             ELSE pg_relation_size(p.oid) / (2.0 * dimensions + 130) END), 0),
           sum(pg_relation_size(p.oid))
    INTO embedded_rows, embedded_bytes
    -- Looked up one by one: an OR would read all of pg_class.
    FROM (SELECT embeddings UNION ALL SELECT h.inhrelid FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = embeddings) AS t (oid)
    JOIN pg_catalog.pg_class AS p ON p.oid = t.oid;
    -- Of its rows, or of its different pictures.
    SELECT {index_lists}, (array_agg(i.method ORDER BY i.method = 'ivfflat', i.name))[1] INTO index_lists, index_method
    -- Where tenants are split, large ones have an index each.
    FROM (SELECT indexed
          UNION ALL SELECT h.inhrelid FROM pg_catalog.pg_partitioned_table AS s
          JOIN pg_catalog.pg_inherits AS h ON h.inhparent = s.partrelid AND h.inhrelid <> s.partdefid
          WHERE s.partrelid = indexed AND s.partstrat = 'l') AS t (oid)
    CROSS JOIN LATERAL {distance_indexes} AS i
    WHERE i.is_valid AND i.quantization IS NULL;
    has_index := index_method IS NOT NULL;
    index_probes := {index_probes};
    hides_rows := row_security_active(embeddings)
            AND EXISTS (SELECT FROM pg_catalog.pg_policy AS y WHERE y.polrelid = embeddings AND y.polname = 'follow_source');
    -- Unknown before pgvector's library is loaded, whose default is 40.
    session_ef_search := coalesce(current_setting('hnsw.ef_search', true), '40');
    RETURN NEXT;
END
$state$;
REVOKE ALL ON FUNCTION imgvec.search_state(text) FROM PUBLIC;
