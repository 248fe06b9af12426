-- Give what `imgvec duplicates` fills the names that a collection of another name has; a view is renamed so too.
-- Not where it was never searched: imgvec.duplicate_group_x may be the groups of x.
DO $views$
BEGIN
    IF to_regclass('imgvec.{old_duplicate_pair_table}') IS NOT NULL THEN
        ALTER TABLE IF EXISTS imgvec.{old_duplicate_view} RENAME TO {duplicate_view};
        ALTER TABLE IF EXISTS imgvec.{old_duplicate_group_view} RENAME TO {duplicate_group_view};
    END IF;
END
$views$;
ALTER TABLE IF EXISTS imgvec.{old_duplicate_pair_table} RENAME TO {duplicate_pair_table};
ALTER TABLE IF EXISTS imgvec.{old_duplicate_member_table} RENAME TO {duplicate_member_table};
ALTER TABLE IF EXISTS imgvec.{old_duplicate_seen_table} RENAME TO {duplicate_seen_table};
ALTER TABLE IF EXISTS imgvec.{old_duplicate_block_table} RENAME TO {duplicate_block_table};
ALTER TABLE IF EXISTS imgvec.{old_duplicate_run_table} RENAME TO {duplicate_run_table};
