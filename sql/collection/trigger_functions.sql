-- Trigger functions of one collection. They run inside the application's own statement, as their definer,
-- so that a role without rights in imgvec writes its table as before; they only file keys.
-- The version is drawn here, while the changed rows are locked, so versions follow the order of commits.
-- {key_settings} fix how a key is printed that the session's settings would print in their own way: by it failures are found.
-- Types and casts belong to the source's owner and must not run with our definer's rights: columns stand here as
-- store/guarded_columns.py writes them.
-- The application's write goes through whatever became of columns, types or our own tables: a block that only reads looks
-- what there is to do, parses what would be written, and catches all. What writes stands outside: a subtransaction that writes
-- takes a transaction id, and more than 64 of them in one transaction slow down the snapshots of all others. Statements of
-- few rows are by far the most: what that block has read is then enqueued as it is.
CREATE OR REPLACE FUNCTION imgvec.{on_insert}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp {key_settings}
AS $trigger$
DECLARE
    few_keys jsonb;
BEGIN
    BEGIN
        SELECT jsonb_agg(few.key) INTO few_keys
        FROM (
            SELECT {n_key} AS key FROM new_rows AS n WHERE {n_has_image} OR {enqueueing_is_parsed} LIMIT {keys_per_job} + 1
        ) AS few;
    {unless_unreadable}
    IF few_keys IS NULL THEN
        RETURN NULL;
    ELSIF jsonb_array_length(few_keys) <= {keys_per_job} THEN
        INSERT INTO imgvec.job (collection_id, version, keys)
        VALUES ({collection_id}, nextval('imgvec.version_seq'), few_keys);
        RETURN NULL;
    END IF;
    INSERT INTO imgvec.job (collection_id, version, keys)
    SELECT {collection_id}, nextval('imgvec.version_seq'), slice.keys
    FROM (
        SELECT jsonb_agg(changed.key) AS keys
        FROM (
            SELECT {n_key} AS key, (row_number() OVER () - 1) / {keys_per_job} AS slice
            FROM new_rows AS n WHERE {n_has_image}
        ) AS changed
        GROUP BY changed.slice
    ) AS slice;
    RETURN NULL;
END
$trigger$;

CREATE OR REPLACE FUNCTION imgvec.{on_update}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp {key_settings}
-- The plan is kept between statements: one made for a single row must not meet 100,000 with a nested loop.
SET enable_nestloop = off
AS $trigger$
DECLARE
    few_keys jsonb;
    keys_moved boolean;
BEGIN
    BEGIN
        SELECT jsonb_agg(few.key), bool_or(few.moved) INTO few_keys, keys_moved
        FROM (
            SELECT {n_key} AS key, {o_is_missing} AS moved
            FROM new_rows AS n LEFT JOIN old_rows AS o ON {n_equals_o}
            WHERE {o_is_missing} OR {watched_differ} OR {enqueueing_is_parsed} OR {forgetting_is_parsed}
            LIMIT {keys_per_job} + 1
        ) AS few;
    {unless_unreadable}
    IF few_keys IS NULL THEN
        RETURN NULL;
    ELSIF jsonb_array_length(few_keys) <= {keys_per_job} THEN
        INSERT INTO imgvec.job (collection_id, version, keys)
        VALUES ({collection_id}, nextval('imgvec.version_seq'), few_keys);
    ELSE
        WITH changed AS MATERIALIZED (
            SELECT {n_key} AS key, {o_is_missing} AS moved, (row_number() OVER () - 1) / {keys_per_job} AS slice
            FROM new_rows AS n LEFT JOIN old_rows AS o ON {n_equals_o}
            WHERE {o_is_missing} OR {watched_differ}
        ), enqueued AS (
            INSERT INTO imgvec.job (collection_id, version, keys)
            SELECT {collection_id}, nextval('imgvec.version_seq'), slice.keys
            FROM (SELECT jsonb_agg(c.key) AS keys FROM changed AS c GROUP BY c.slice) AS slice
        )
        SELECT bool_or(c.moved) INTO keys_moved FROM changed AS c;
    END IF;
    IF keys_moved THEN
        -- EXECUTE plans for the number of rows at hand.
        EXECUTE $statement$
            DELETE FROM imgvec.failure AS f USING old_rows AS o
            WHERE f.collection_id = {collection_id} AND f.key = {o_key}
              AND NOT EXISTS (SELECT FROM new_rows AS n WHERE {n_equals_o})
        $statement$;
        {enqueue_moved}
        {forget_moved}
    END IF;
    RETURN NULL;
END
$trigger$;

CREATE OR REPLACE FUNCTION imgvec.{on_delete}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp {key_settings}
AS $trigger$
DECLARE
    has_failures boolean;
    few_keys jsonb;
BEGIN
    BEGIN
        {read_deleted}
        -- The second half is always true, and there to be parsed.
        has_failures := EXISTS (SELECT FROM imgvec.failure AS f WHERE f.collection_id = {collection_id})
            AND NOT EXISTS (SELECT {o_key} FROM old_rows AS o WHERE false AND {forgetting_is_parsed});
    {unless_unreadable}
    IF has_failures THEN
        EXECUTE $statement$
            DELETE FROM imgvec.failure AS f USING old_rows AS o
            WHERE f.collection_id = {collection_id} AND f.key = {o_key}
        $statement$;
    END IF;
    {enqueue_deleted}
    {forget_deleted}
    RETURN NULL;
END
$trigger$;

CREATE OR REPLACE FUNCTION imgvec.{on_truncate}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- A row hidden by a policy is not gone: let PostgreSQL refuse instead.
SET row_security = off
AS $trigger$
BEGIN
    -- All of it where it may fail: what is left to do then is found by `imgvec collection reconcile`.
    BEGIN
    IF TG_RELID = (SELECT c.source FROM imgvec.collection AS c WHERE c.id = {collection_id}) THEN
        DELETE FROM imgvec.job WHERE collection_id = {collection_id};
        DELETE FROM imgvec.failure WHERE collection_id = {collection_id};
        {forget_all}
    ELSE
        {forget_partition}
    END IF;
    {unless_unreadable}
    RETURN NULL;
END
$trigger$;

REVOKE ALL ON FUNCTION imgvec.{on_insert}(), imgvec.{on_update}(), imgvec.{on_delete}(), imgvec.{on_truncate}()
    FROM PUBLIC;
