-- Where `imgvec map` puts points, under the keys as JSON objects. Times come as PostgreSQL sends them: microseconds since 2000.
DO $input$
BEGIN
    DROP TABLE IF EXISTS pg_temp.imgvec_placed;
    CREATE TEMP TABLE imgvec_placed (
        key_text text, x real, y real, cluster integer, is_landmark boolean, is_later boolean, version bigint, microseconds bigint
    ) ON COMMIT DROP;
END
$input$
