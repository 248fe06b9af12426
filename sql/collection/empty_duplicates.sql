-- Before a run's pairs and groups are written. One DELETE each: with TRUNCATE readers would wait.
WITH pairs AS (DELETE FROM imgvec.{duplicate_pair_table})
DELETE FROM imgvec.{duplicate_member_table}
