-- How the map was made. Its condition is for those alone who may write it: see read_map_condition.sql.
SELECT r.method, r.row_count, r.picture_count, r.landmark_count, r.silhouette, r.named_by, r.ended_at FROM imgvec.{map_run_table} AS r
