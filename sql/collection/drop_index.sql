-- Drop the index of one table beside running searches and writes.
DROP INDEX CONCURRENTLY IF EXISTS imgvec.{index};
