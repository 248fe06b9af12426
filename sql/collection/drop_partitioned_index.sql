-- Drop the index of a partitioned table with those of its partitions; PostgreSQL cannot do this CONCURRENTLY.
DROP INDEX IF EXISTS imgvec.{index};
