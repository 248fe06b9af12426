-- What `imgvec duplicates` fills, where it was run. Decisions stay: they belong to pictures.
-- Of a collection called group_x that was never searched the view's name is that of the groups of x: it is left alone.
DO $drop$
BEGIN
    IF to_regclass('imgvec.{duplicate_pair_table}') IS NOT NULL THEN
        DROP VIEW IF EXISTS imgvec.{duplicate_view}, imgvec.{duplicate_group_view};
    END IF;
END
$drop$;
DROP TABLE IF EXISTS imgvec.{duplicate_pair_table}, imgvec.{duplicate_member_table},
    imgvec.{duplicate_seen_table}, imgvec.{duplicate_block_table}, imgvec.{duplicate_run_table};
