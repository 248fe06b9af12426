-- Where a search for duplicates puts what it found: rows by number, and pairs of numbers.
DO $input$
BEGIN
    DROP TABLE IF EXISTS pg_temp.imgvec_seen, pg_temp.imgvec_near, pg_temp.imgvec_row, pg_temp.imgvec_member;
    CREATE TEMP TABLE imgvec_seen (
        number integer PRIMARY KEY, key_text text, version bigint, content_hash bytea, microseconds bigint, group_id integer
    ) ON COMMIT DROP;
    CREATE TEMP TABLE imgvec_near (first integer, second integer, distance double precision) ON COMMIT DROP;
END
$input$
