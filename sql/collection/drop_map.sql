-- What `imgvec map` fills, where it was run.
DROP VIEW IF EXISTS imgvec.{map_view};
DROP TABLE IF EXISTS imgvec.{map_cluster_table}, imgvec.{map_point_table}, imgvec.{map_run_table};
