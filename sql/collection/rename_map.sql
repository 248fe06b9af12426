-- Give what `imgvec map` fills the names that a collection of another name has; a view is renamed so too.
ALTER TABLE IF EXISTS imgvec.{old_map_view} RENAME TO {map_view};
ALTER TABLE IF EXISTS imgvec.{old_map_point_table} RENAME TO {map_point_table};
ALTER TABLE IF EXISTS imgvec.{old_map_cluster_table} RENAME TO {map_cluster_table};
ALTER TABLE IF EXISTS imgvec.{old_map_run_table} RENAME TO {map_run_table};
