-- A collection's tables are granted to the two roles, where they exist.
DO $grants$
BEGIN
    IF to_regrole('imgvec_reader') IS NOT NULL THEN
        GRANT SELECT ON imgvec.{embedding_table} TO imgvec_reader;
    END IF;
    IF to_regrole('imgvec_worker') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON imgvec.{embedding_table} TO imgvec_worker;
    END IF;
    IF to_regclass('imgvec.{picture_table}') IS NOT NULL THEN
        IF to_regrole('imgvec_reader') IS NOT NULL THEN
            GRANT SELECT ON imgvec.{picture_table} TO imgvec_reader;
        END IF;
        IF to_regrole('imgvec_worker') IS NOT NULL THEN
            GRANT SELECT, INSERT, DELETE ON imgvec.{picture_table} TO imgvec_worker;
        END IF;
    END IF;
    IF to_regclass('imgvec.{coordinate_table}') IS NOT NULL THEN
        IF to_regrole('imgvec_reader') IS NOT NULL THEN
            GRANT SELECT ON imgvec.{coordinate_table}, imgvec.{axis_table} TO imgvec_reader;
        END IF;
        IF to_regrole('imgvec_worker') IS NOT NULL THEN
            GRANT SELECT, INSERT, UPDATE ON imgvec.{coordinate_table} TO imgvec_worker;
            GRANT SELECT ON imgvec.{axis_table} TO imgvec_worker;
        END IF;
    END IF;
END
$grants$;
