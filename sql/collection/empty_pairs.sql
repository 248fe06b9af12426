-- Before a run's pairs are written. A DELETE: with TRUNCATE readers would wait.
DELETE FROM imgvec.{duplicate_pair_table}
