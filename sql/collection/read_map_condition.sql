-- The condition over the source's columns that the map's rows meet; NULL for all.
SELECT r.condition FROM imgvec.{map_run_table} AS r
