-- Clusters that this role sees rows of: number, name, where the name belongs.
SELECT c.cluster, c.name, c.x, c.y FROM imgvec.{map_cluster_table} AS c ORDER BY c.cluster
