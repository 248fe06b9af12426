-- A cluster of a map: its number, name, and where its name belongs.
INSERT INTO imgvec.{map_cluster_table} (cluster, name, x, y) VALUES (%(cluster)s, %(name)s, %(x)s, %(y)s)
