-- Before a new map is written. One DELETE each: with TRUNCATE readers would wait.
WITH points AS (DELETE FROM imgvec.{map_point_table}), runs AS (DELETE FROM imgvec.{map_run_table})
DELETE FROM imgvec.{map_cluster_table}
