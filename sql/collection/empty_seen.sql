-- Before a run that compares all rows notes them. A DELETE each: TRUNCATE would wait for a dump that reads them, and all others for it.
WITH blocks AS (DELETE FROM imgvec.{duplicate_block_table})
DELETE FROM imgvec.{duplicate_seen_table}
