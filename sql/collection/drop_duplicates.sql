-- What `imgvec duplicates` fills, where it was run. Decisions stay: they belong to pictures.
DROP VIEW IF EXISTS imgvec.{duplicate_view}, imgvec.{duplicate_group_view};
DROP TABLE IF EXISTS imgvec.{duplicate_pair_table}, imgvec.{duplicate_member_table},
    imgvec.{duplicate_seen_table}, imgvec.{duplicate_block_table}, imgvec.{duplicate_run_table};
