-- Functions are revoked from PUBLIC and granted to the two roles, where they exist.
DO $grants$
BEGIN
    REVOKE ALL ON FUNCTION imgvec.{near}({vector}.halfvec), imgvec.{near_row}({key_types}),
        imgvec.{search}({vector}.halfvec, integer, {among_type}[]) FROM PUBLIC;
    IF to_regrole('imgvec_reader') IS NOT NULL THEN
        GRANT SELECT ON imgvec.{embedding_table} TO imgvec_reader;
        GRANT EXECUTE ON FUNCTION imgvec.{near}({vector}.halfvec), imgvec.{near_row}({key_types}),
            imgvec.{search}({vector}.halfvec, integer, {among_type}[]) TO imgvec_reader;
    END IF;
    IF to_regrole('imgvec_worker') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON imgvec.{embedding_table} TO imgvec_worker;
        GRANT EXECUTE ON FUNCTION imgvec.{near}({vector}.halfvec), imgvec.{near_row}({key_types}),
            imgvec.{search}({vector}.halfvec, integer, {among_type}[]) TO imgvec_worker;
    END IF;
END
$grants$;
